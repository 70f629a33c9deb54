// y = alpha · Σ parts + addend in the tiles of results whose depth workgroups of gemm_matrix.wgsl have shared.
#include "include/grid.wgsl"
#include "include/get8_{{EDGES}}_{{C}}.wgsl" with name=addend, binding=2
#include "include/put8_{{EDGES}}_{{Y}}.wgsl" with name=y, binding=3
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;

const TM = {{TM}}u;
const TN = {{TN}}u;
const EIGHTS = TM * TN / 8u; // of a tile

struct Params {
  m: u32,
  n: u32,
  columns: u32, // tiles along n
  rows: u32, // tiles along m
  whole: u32, // tiles before the first that is shared
  batch: u32,
  splits: u32,
  y_row: u32,
  y_start: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
#include "include/gemm_place.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  let within = i % EIGHTS;
  let shared_tiles = p.rows * p.columns - p.whole;
  let tile = i / EIGHTS; // of those in all batches
  let batch = tile / shared_tiles;
  let place = place_of(p.whole + tile % shared_tiles);
  let row = place.x * TM + within / (TN / 8u);
  let column = place.y * TN + within % (TN / 8u) * 8u;
  if (batch >= p.batch || row >= p.m || column >= p.n) {
    return;
  }
  var sum = Eight();
  for (var split = 0u; split < p.splits; split++) {
    let part = ((tile * p.splits + split) * EIGHTS + within) * 2u;
    sum = Eight(sum.low + parts[part], sum.high + parts[part + 1u]);
  }
  let at = (batch * p.m + row) * p.y_row + p.y_start + column;
  let count = p.n - column;
  let more = addend_get8(at, count);
  y_put8(at, count, Eight(p.alpha * sum.low + more.low, p.alpha * sum.high + more.high));
}

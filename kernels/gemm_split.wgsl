// y = alpha · Σ parts + addend in the tiles of results whose depth workgroups of gemm_matrix.wgsl have shared.
#include "include/grid.wgsl"
#include "include/get4_{{EDGES}}_{{C}}.wgsl" with name=addend, binding=2
#include "include/put4_{{EDGES}}_{{Y}}.wgsl" with name=y, binding=3
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;

const TM = {{TM}}u;
const TN = {{TN}}u;
const QUADS = TM * TN / 4u; // of a tile

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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  let within = i % QUADS;
  let shared_tiles = p.rows * p.columns - p.whole;
  let tile = i / QUADS; // of those in all batches
  let batch = tile / shared_tiles;
  let place = place_of(p.whole + tile % shared_tiles);
  let row = place.x * TM + within / (TN / 4u);
  let column = place.y * TN + within % (TN / 4u) * 4u;
  if (batch >= p.batch || row >= p.m || column >= p.n) {
    return;
  }
  var sum = vec4f();
  for (var split = 0u; split < p.splits; split++) {
    sum += parts[(tile * p.splits + split) * QUADS + within];
  }
  let at = (batch * p.m + row) * p.y_row + p.y_start + column;
  let count = p.n - column;
  y_put4(at, count, y_words(p.alpha * sum + addend_get4(at, count)));
}

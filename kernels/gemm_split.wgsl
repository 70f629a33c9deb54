// y = alpha · Σ parts + addend: what workgroups that shared the depth of a product have left.
#include "include/grid.wgsl"
#include "include/get8_{{EDGES}}_{{C}}.wgsl" with name=addend, binding=2
#include "include/put8_{{EDGES}}_{{Y}}.wgsl" with name=y, binding=3
#include "include/get8_{{EDGES}}_f32.wgsl" with name=parts, binding=1

struct Params {
  n: u32,
  groups: u32, // eights of elements in a row
  rows: u32, // of all batches
  m: u32, // of one
  splits: u32,
  y_row: u32,
  y_start: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  let row = i / p.groups;
  if (row >= p.rows) {
    return;
  }
  let column = i % p.groups * 8u;
  let count = p.n - column;
  let first = (row / p.m * p.splits * p.m + row % p.m) * p.n + column;
  var sum = Eight();
  for (var split = 0u; split < p.splits; split++) {
    let part = parts_get8(first + split * p.m * p.n, count);
    sum = Eight(sum.low + part.low, sum.high + part.high);
  }
  let at = row * p.y_row + p.y_start + column;
  let more = addend_get8(at, count);
  y_put8(at, count, Eight(p.alpha * sum.low + more.low, p.alpha * sum.high + more.high));
}

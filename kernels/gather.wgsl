// Rows of a matrix by number, and the opposite: rows added up by number in a fixed order, without atomics.
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/write_{{Y}}.wgsl" with name=y, binding=2
@group(0) @binding(3) var<storage, read> ids: array<i32>;
@group(0) @binding(4) var<storage, read_write> total: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<u32>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;

struct Params {
  width: u32,
  // Elements to make, and the number of the first one in the whole result.
  count: u32,
  first: u32,
  // Rows of x that are bound.
  x_begin: u32,
  x_end: u32,
  // First bound row of `total` and first entry of `ids` that lies in it (add_rows).
  row_begin: u32,
  id_begin: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn gathered(at: u32) -> f32 {
  let i = p.first + min(at, p.count - 1u);
  let id = ids[i / p.width];
  if (id < 0) {
    return 0.0;
  }
  return x_at(u32(id) * p.width + i % p.width);
}

// y[i] = x[ids[i]], zeros for a negative id; all of x is bound.
@compute @workgroup_size(64)
fn gather(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(gathered(i), gathered(i + 1u)), p.count);
  }
}

// The elements of total[i] = x[ids[i]] whose row is bound; the others stay.
@compute @workgroup_size(64)
fn gather_part(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  if (i >= p.count) {
    return;
  }
  let id = ids[(p.first + i) / p.width];
  if (id >= i32(p.x_begin) && id < i32(p.x_end)) {
    total[i] = x_at((u32(id) - p.x_begin) * p.width + (p.first + i) % p.width);
  }
}

// total[ids[u]] += x[positions[k]] for k in starts[u] … starts[u + 1] − 1, in that order, where x's row is bound.
@compute @workgroup_size(64)
fn add_rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  if (i >= p.count) {
    return;
  }
  let u = p.id_begin + i / p.width;
  let column = i % p.width;
  let target_at = (u32(ids[u]) - p.row_begin) * p.width + column;
  var sum = total[target_at];
  for (var k = starts[u]; k < starts[u + 1u]; k++) {
    let row = positions[k];
    if (row >= p.x_begin && row < p.x_end) {
      sum += x_at((row - p.x_begin) * p.width + column);
    }
  }
  total[target_at] = sum;
}

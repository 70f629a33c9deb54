// Moves whole rows: y[row_of[i]] = x[i]. Rows are copied as 32-bit words whatever their element type.
#include "include/grid.wgsl"
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> row_of: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

struct Params {
  rows: u32,
  words: u32,
  // Rows of y that are bound; the others are left to other launches.
  y_begin: u32,
  y_end: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn scatter(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  if (i >= p.rows * p.words) {
    return;
  }
  let row = u32(row_of[i / p.words]);
  if (row >= p.y_begin && row < p.y_end) {
    y[(row - p.y_begin) * p.words + i % p.words] = x[i];
  }
}

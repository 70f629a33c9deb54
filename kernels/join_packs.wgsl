// Copies a matrix of f16 to columns of a wider one; rows of both, and where the columns begin, are whole eights.
#include "include/grid.wgsl"
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;

struct Params {
  rows: u32,
  width: u32, // eights in a row of x
  row: u32, // eights in a row of y
  start: u32, // of the columns, in eights
  across: u32, // eights that a workgroup copies side by side, a power of two up to 128: narrow rows it copies several of
  groups: u32, // workgroups in a row of x
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let flat = flat_group(group, groups);
  let row = flat / p.groups * (128u / p.across) + lane / p.across;
  let column = flat % p.groups * p.across + lane % p.across;
  if (row < p.rows && column < p.width) {
    y[row * p.row + p.start + column] = x[row * p.width + column];
  }
}

// y += x, in place, y in f32.
#include "include/grid.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

struct Params {
  count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  if (i < p.count) {
    y[i] += x_at(i);
  }
}

// Copies a strided view to a dense tensor, converting the element type.
#include "include/grid.wgsl"
#include "include/strided.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
#include "include/write_{{Y}}.wgsl" with name=y, binding=2

struct Params {
  shape: vec4u,
  strides: vec4u,
  offset: u32,
  count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i >= p.count) {
    return;
  }
  let next = min(i + 1u, p.count - 1u);
  let first = x_at(p.offset + strided_index(i, p.shape, p.strides));
  let second = x_at(p.offset + strided_index(next, p.shape, p.strides));
  y_put(pair, vec2f(first, second), p.count);
}

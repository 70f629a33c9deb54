// y = EXPR(a, b, alpha) element by element; operands are strided views, so broadcasting costs nothing.
// elementwise_dense.wgsl is for contiguous operands of one shape.
#include "include/grid.wgsl"
#include "include/strided.wgsl"
#include "include/read_{{A}}.wgsl" with name=a, binding=1
#include "include/read_{{B}}.wgsl" with name=b, binding=2
#include "include/write_{{Y}}.wgsl" with name=y, binding=3

struct Params {
  shape: vec4u,
  a_strides: vec4u,
  b_strides: vec4u,
  count: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn evaluate(a: f32, b: f32) -> f32 {
  let alpha = p.alpha;
  return {{EXPR}};
}

fn binary_at(i: u32) -> f32 {
  return evaluate(a_at(strided_index(i, p.shape, p.a_strides)), b_at(strided_index(i, p.shape, p.b_strides)));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(binary_at(i), binary_at(min(i + 1u, p.count - 1u))), p.count);
  }
}

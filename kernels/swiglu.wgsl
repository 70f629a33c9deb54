// y = silu(gate) · up and both gradients. Stores to f16 are clamped: one outlier must not turn into infinity.
#include "include/grid.wgsl"
#include "include/nonfinite.wgsl"
#include "include/read_{{X}}.wgsl" with name=gate, binding=1
#include "include/read_{{X}}.wgsl" with name=up, binding=2
#include "include/read_{{X}}.wgsl" with name=grad, binding=3
#include "include/write_{{X}}.wgsl" with name=y, binding=4
#include "include/write_{{X}}.wgsl" with name=d_gate, binding=5
#include "include/write_{{X}}.wgsl" with name=d_up, binding=6

struct Params {
  count: u32,
  limit: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn sigmoid(v: f32) -> f32 {
  return 1.0 / (1.0 + exp(-v));
}

fn product(i: u32) -> f32 {
  let g = gate_at(i);
  let v = g * sigmoid(g) * up_at(i);
  return select(clamp(v, -p.limit, p.limit), v, is_nan(v));
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    y_put(pair, vec2f(product(i), product(min(i + 1u, p.count - 1u))), p.count);
  }
}

// (gradient of gate, gradient of up)
fn gradients(i: u32) -> vec2f {
  let g = gate_at(i);
  let s = sigmoid(g);
  let d = grad_at(i);
  return vec2f(d * up_at(i) * s * (1.0 + g * (1.0 - s)), d * g * s);
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pair = flat_group(group, groups) * 64u + lane;
  let i = pair * 2u;
  if (i < p.count) {
    let first = gradients(i);
    let second = gradients(min(i + 1u, p.count - 1u));
    d_gate_put(pair, vec2f(first.x, second.x), p.count);
    d_up_put(pair, vec2f(first.y, second.y), p.count);
  }
}

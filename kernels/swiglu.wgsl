// y = silu(gate) · up and both gradients. Stores to f16 are clamped: one outlier must not turn into infinity.
#include "include/grid.wgsl"
#include "include/nonfinite.wgsl"
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=gate, binding=1
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=up, binding=2
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=grad, binding=3
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=y, binding=4
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=d_gate, binding=5
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=d_up, binding=6

struct Params {
  count: u32,
  limit: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

fn sigmoid(v: vec4f) -> vec4f {
  return 1.0 / (1.0 + exp(-v));
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK >= p.count) {
    return;
  }
  let gate = gate_pack(i);
  let up = up_pack(i);
  var product: Pack;
  #unroll q in 0..{{QUADS}}
  let v = gate[q] * sigmoid(gate[q]) * up[q];
  product[q] = select(clamp(v, vec4f(-p.limit), vec4f(p.limit)), v, are_nan(v));
  #end
  y_put_pack(i, product, p.count);
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 256u + lane;
  if (i * PACK >= p.count) {
    return;
  }
  let gate = gate_pack(i);
  let up = up_pack(i);
  let grad = grad_pack(i);
  var for_gate: Pack;
  var for_up: Pack;
  #unroll q in 0..{{QUADS}}
  let g = gate[q];
  let s = sigmoid(g);
  for_gate[q] = grad[q] * up[q] * s * (1.0 + g * (1.0 - s));
  for_up[q] = grad[q] * g * s;
  #end
  d_gate_put_pack(i, for_gate, p.count);
  d_up_put_pack(i, for_up, p.count);
}

// y = silu(gate) · up and both gradients. Stores to f16 are clamped: one outlier must not turn into infinity. What is read
// lies in rows; what is written too, or in the panels of src/tensor/gemm/panels.ts.
#include "include/grid.wgsl"
#include "include/nonfinite.wgsl"
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=gate, binding=1
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=up, binding=2
#include "include/read_pack{{QUADS}}_{{X}}.wgsl" with name=grad, binding=3
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=y, binding=4
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=d_gate, binding=5
#include "include/write_pack{{QUADS}}_{{X}}.wgsl" with name=d_up, binding=6

struct Params {
  count: u32, // elements that are written, with the padding of panels
  limit: f32,
  // Of the matrix, for panels.
  rows: u32,
  width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
#include "include/swiglu_place_{{ORDER}}.wgsl"

fn sigmoid(v: vec4f) -> vec4f {
  return 1.0 / (1.0 + exp(-v));
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = place_of(flat_group(group, groups), lane);
  if (!at.inside) {
    return;
  }
  let gate = gate_pack(at.input);
  let up = up_pack(at.input);
  var product: Pack;
  #unroll q in 0..{{QUADS}}
  let v = gate[q] * sigmoid(gate[q]) * up[q];
  product[q] = select(clamp(v, vec4f(-p.limit), vec4f(p.limit)), v, are_nan(v));
  #end
  y_put_pack(at.output, product, p.count);
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = place_of(flat_group(group, groups), lane);
  if (!at.inside) {
    return;
  }
  let gate = gate_pack(at.input);
  let up = up_pack(at.input);
  let grad = grad_pack(at.input);
  var for_gate: Pack;
  var for_up: Pack;
  #unroll q in 0..{{QUADS}}
  let g = gate[q];
  let s = sigmoid(g);
  for_gate[q] = grad[q] * up[q] * s * (1.0 + g * (1.0 - s));
  for_up[q] = grad[q] * g * s;
  #end
  d_gate_put_pack(at.output, for_gate, p.count);
  d_up_put_pack(at.output, for_up, p.count);
}

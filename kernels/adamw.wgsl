// AdamW with f32 moments (Loshchilov & Hutter 2019), in place; a thread takes four elements.
//
// BITSANDBYTES = false orders the arithmetic as torch.optim.AdamW does, true as bitsandbytes' 32-bit CUDA kernel does, with
// the multiply-adds fused that its compiler fuses: both are the same in exact arithmetic.
#include "include/grid.wgsl"
#include "include/exact.wgsl"
#include "include/fused.wgsl"
@group(0) @binding(1) var<storage, read> clock: array<f32>; // See adamw-clock.wgsl.
@group(0) @binding(2) var<storage, read> grad: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> param: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> state1: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> state2: array<vec4f>;

override BITSANDBYTES: bool = false;

struct Params {
  count: u32,
  beta1: f32,
  rest1: f32, // 1 - beta1
  beta2: f32,
  rest2: f32,
  eps: f32,
  decay: f32, // 1 - lr · weight decay
  zero: u32, // 0, see apart().
}
@group(0) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * 64u + lane;
  if (clock[1] == 0.0 || i * 4u >= p.count) {
    return;
  }
  let step_size = clock[3];
  let correction2 = clock[4];
  let g = grad[i] * clock[2];
  var m = state1[i];
  var v = state2[i];
  var x = param[i];
  if (BITSANDBYTES) {
    m = fused4(m, vec4f(p.beta1), p.rest1 * g, p.zero);
    v = fused4(v, vec4f(p.beta2), p.rest2 * apart4(g * g, p.zero), p.zero);
    x = fused4(m / (sqrt(v) + p.eps * correction2), vec4f(step_size), x, p.zero) * p.decay;
  } else {
    m = fused4(g - m, vec4f(p.rest1), m, p.zero);
    v = fused4(p.rest2 * g, g, v * p.beta2, p.zero);
    x = fused4(m / (sqrt(v) / correction2 + p.eps), vec4f(step_size), x * p.decay, p.zero);
  }
  let room = p.count - i * 4u;
  if (room >= 4u) {
    state1[i] = m;
    state2[i] = v;
    param[i] = x;
    return;
  }
  // The bytes behind the last element may belong to another tensor.
  for (var k = 0u; k < room; k++) {
    state1[i][k] = m[k];
    state2[i][k] = v[k];
    param[i][k] = x[k];
  }
}

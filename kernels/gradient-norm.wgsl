// Global norm of all gradients in two stages with a fixed order of additions, and what follows from it.
#include "include/grid.wgsl"

// Slots of `stats`, everything that loss scaling and optimisers share on the GPU:
// 0 loss scale, 1 steps since the scale last changed, 2 whether a gradient was not finite, 3 norm without the scale,
// 4 multiplier of gradients, 5 skipped steps.

// Stage 1: a workgroup sums the squares of 16,384 elements and looks for exponents of infinities and NaN.
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read> scale_stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec2f>;

struct Params {
  count: u32,
  slot: u32, // Where in `sums` this tensor's workgroups begin.
  divisor: f32,
  max_norm: f32,
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> partial: array<vec2f, 256>;

fn fold(lane: u32) -> vec2f {
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(256)
fn squares(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let chunk = flat_group(group, groups);
  // Scaled gradients may be 65,536 times too large to square.
  let unscale = 1.0 / (scale_stats[0] * p.divisor);
  var sum = vec4f();
  var bad = 0.0;
  for (var k = 0u; k < 16u; k++) {
    let i = chunk * 4096u + k * 256u + lane;
    if (i * 4u < p.count) {
      let room = p.count - i * 4u;
      let inside = vec4u(0u, 1u, 2u, 3u) < vec4u(room);
      // Bits decide, because a shader compiler may assume that no NaN exists.
      let bits = select(vec4u(), bitcast<vec4u>(grad[i]), inside);
      if (any((bits & vec4u(0x7f800000u)) == vec4u(0x7f800000u))) {
        bad = 1.0;
      }
      let g = bitcast<vec4f>(bits) * unscale;
      sum += g * g;
    }
  }
  partial[lane] = vec2f((sum.x + sum.y) + (sum.z + sum.w), bad);
  let total = fold(lane);
  if (lane == 0u && chunk * 16384u < p.count) {
    sums[p.slot + chunk] = total;
  }
}

// Stage 2: one workgroup adds the sums and writes what the step's optimiser needs.
@group(0) @binding(4) var<storage, read> all_sums: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;

@compute @workgroup_size(256)
fn finish(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2f();
  for (var i = lane; i < p.count; i += 256u) {
    sum += all_sums[i];
  }
  partial[lane] = sum;
  let total = fold(lane);
  if (lane != 0u) {
    return;
  }
  let norm = sqrt(total.x);
  // A sum that overflowed is as useless as an infinite gradient.
  let overflow = (bitcast<u32>(total.x) & 0x7f800000u) == 0x7f800000u;
  let bad = total.y > 0.0 || overflow;
  var clip = 1.0;
  if (p.max_norm > 0.0) {
    clip = min(1.0, p.max_norm / (norm + 1e-6));
  }
  stats[2] = select(0.0, 1.0, bad);
  stats[3] = norm;
  stats[4] = select(clip / (stats[0] * p.divisor), 0.0, bad);
}

// Blockwise 8-bit quantisation of x - offset, 256 to a block, with a map of 256 values (Dettmers et al. 2021, "8-bit
// Optimizers via Block-wise Quantization"). One workgroup a block; a lane takes four elements, one word of codes.
#include "include/grid.wgsl"
#include "include/exact.wgsl"
#include "include/nearest_code.wgsl"
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> offset: array<f32>;
@group(0) @binding(3) var<storage, read> thresholds: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> absmax: array<f32>;

struct Params {
  count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> largest: array<u32, 64>;
var<workgroup> limits: array<f32, 256>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = flat_group(group, groups);
  let begin = block * 256u + lane * 4u;
  for (var i = lane; i < 256u; i += 64u) {
    limits[i] = thresholds[i];
  }
  var values = vec4f();
  var most = 0u;
  for (var k = 0u; k < 4u; k++) {
    if (begin + k < p.count) {
      values[k] = x[begin + k] - offset[0];
      most = max(most, magnitude_bits(values[k]));
    }
  }
  largest[lane] = most;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      largest[lane] = max(largest[lane], largest[lane + half]);
    }
  }
  workgroupBarrier();
  let bits = largest[0];
  if (begin >= p.count) {
    return;
  }
  if (lane == 0u) {
    absmax[block] = bitcast<f32>(bits);
  }
  let scale = exact_reciprocal(bits);
  var word = 0u;
  if (bits != 0u && bits < 0x7f800000u) {
    for (var k = 0u; k < 4u; k++) {
      word |= nearest_code(&limits, values[k] * scale) << (8u * k);
    }
  }
  codes[begin / 4u] = word;
}

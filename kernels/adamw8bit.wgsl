// AdamW with moments in 8 bits, 256 elements to a block with a scale each (Dettmers et al. 2021, "8-bit Optimizers via
// Block-wise Quantization"), in the arithmetic of bitsandbytes' CUDA kernel. A workgroup runs over blocks, a lane takes
// four elements: one word of codes.
#include "include/grid.wgsl"
#include "include/exact.wgsl"
#include "include/fused.wgsl"
#include "include/nearest_code.wgsl"
@group(0) @binding(1) var<storage, read> clock: array<f32>; // See adamw-clock.wgsl.
@group(0) @binding(2) var<storage, read> tables: array<f32>; // Signed map, unsigned map, limits of their codes.
@group(0) @binding(3) var<storage, read> grad: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> param: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> state1: array<u32>;
@group(0) @binding(6) var<storage, read_write> state2: array<u32>;
@group(0) @binding(7) var<storage, read_write> absmax1: array<f32>;
@group(0) @binding(8) var<storage, read_write> absmax2: array<f32>;

struct Params {
  count: u32,
  first_block: u32, // Number in `absmax1` and `absmax2` of the first block of this part.
  beta1: f32,
  rest1: f32, // 1 - beta1
  beta2: f32,
  rest2: f32,
  eps: f32,
  decay: f32, // 1 - lr · weight decay
  zero: u32, // 0, see apart().
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> map1: array<f32, 256>;
var<workgroup> map2: array<f32, 256>;
var<workgroup> limits1: array<f32, 256>;
var<workgroup> limits2: array<f32, 256>;
var<workgroup> largest: array<vec2u, 64>;
var<workgroup> scales: vec2f;

fn bytes_of(word: u32) -> vec4u {
  return (vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
}

// The signed code of a moment m = x · absmax. A code of the other sign than m gives way to its neighbour, so that a small
// moment keeps its direction; -0 and the zeros of an empty block (code 0, which becomes 255) count as in bitsandbytes.
fn signed_code(x: f32, m: f32, empty: bool) -> u32 {
  let code = select(nearest_code(&limits1, x), 0u, empty);
  if (((bitcast<u32>(map1[code]) ^ bitcast<u32>(m)) >> 31u) == 0u) {
    return code;
  }
  return select(code - 1u, code + 1u, m > 0.0) & 0xffu;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (clock[1] == 0.0) {
    return;
  }
  for (var i = lane; i < 256u; i += 64u) {
    map1[i] = tables[i];
    map2[i] = tables[256u + i];
    limits1[i] = tables[512u + i];
    limits2[i] = tables[768u + i];
  }
  workgroupBarrier();
  let step_size = clock[3];
  let correction2 = clock[4];
  let blocks = (p.count + 255u) / 256u;
  for (var block = flat_group(group, groups); block < blocks; block += groups.x * groups.y) {
    let i = block * 64u + lane;
    let room = max(p.count, i * 4u) - i * 4u;
    var m = vec4f();
    var v = vec4f();
    if (room > 0u) {
      let g = grad[i] * clock[2];
      let codes1 = bytes_of(state1[i]);
      let codes2 = bytes_of(state2[i]);
      let old1 = vec4f(map1[codes1.x], map1[codes1.y], map1[codes1.z], map1[codes1.w]) * absmax1[p.first_block + block];
      let old2 = vec4f(map2[codes2.x], map2[codes2.y], map2[codes2.z], map2[codes2.w]) * absmax2[p.first_block + block];
      m = fused4(vec4f(p.rest1), g, old1 * p.beta1, p.zero);
      v = fused4(p.rest2 * g, g, old2 * p.beta2, p.zero);
      let x = fused4(m / (sqrt(v) + p.eps * correction2), vec4f(step_size), param[i], p.zero) * p.decay;
      if (room >= 4u) {
        param[i] = x;
      } else {
        // The bytes behind the last element may belong to another tensor; they must not count below either.
        for (var k = 0u; k < 4u; k++) {
          if (k < room) {
            param[i][k] = x[k];
          } else {
            m[k] = 0.0;
            v[k] = 0.0;
          }
        }
      }
    }
    largest[lane] = vec2u(
      max(max(magnitude_bits(m.x), magnitude_bits(m.y)), max(magnitude_bits(m.z), magnitude_bits(m.w))),
      max(max(magnitude_bits(v.x), magnitude_bits(v.y)), max(magnitude_bits(v.z), magnitude_bits(v.w))),
    );
    for (var half = 32u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lane < half) {
        largest[lane] = max(largest[lane], largest[lane + half]);
      }
    }
    workgroupBarrier();
    let bits = largest[0];
    if (lane == 0u) {
      absmax1[p.first_block + block] = bitcast<f32>(bits.x);
      absmax2[p.first_block + block] = bitcast<f32>(bits.y);
      scales = vec2f(exact_reciprocal(bits.x), exact_reciprocal(bits.y));
    }
    workgroupBarrier(); // Also because the next block writes `largest` again.
    if (room > 0u) {
      let x1 = m * scales.x;
      let x2 = v * scales.y;
      var word1 = 0u;
      var word2 = 0u;
      for (var k = 0u; k < 4u; k++) {
        word1 |= signed_code(x1[k], m[k], bits.x == 0u) << (8u * k);
        word2 |= select(nearest_code(&limits2, x2[k]), 0u, bits.y == 0u) << (8u * k);
      }
      state1[i] = word1;
      state2[i] = word2;
    }
  }
}

// NF4: blocks of BLOCK numbers become their largest magnitude and 4-bit codes, the bytes that bitsandbytes' CUDA kernel
// writes. A workgroup takes 512 elements or one block, whichever is more; a lane takes words of eight codes.
#include "include/grid.wgsl"
#include "include/exact.wgsl"
#include "include/read_{{X}}.wgsl" with name=x, binding=1
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;
@group(0) @binding(3) var<storage, read_write> absmax: array<f32>;

override BLOCK: u32 = 64u;
override LANES: u32 = 8u; // Lanes that share a block: min(64, BLOCK / 8).

struct Params {
  count: u32,
  first_block: u32, // Number in `absmax` of the first block of this part.
}
@group(0) @binding(0) var<uniform> p: Params;

var<workgroup> largest: array<u32, 64>;

// Midpoints between neighbouring codes: a code is the number of midpoints that lie below the scaled value.
fn code_of(s: f32) -> u32 {
  var code = 0u;
  code += select(0u, 1u, s > -0.8480964004993439);
  code += select(0u, 1u, s > -0.6106329262256622);
  code += select(0u, 1u, s > -0.4599952697753906);
  code += select(0u, 1u, s > -0.33967943489551544);
  code += select(0u, 1u, s > -0.23460740596055984);
  code += select(0u, 1u, s > -0.13791173323988914);
  code += select(0u, 1u, s > -0.045525018125772476);
  code += select(0u, 1u, s > 0.03979014977812767);
  code += select(0u, 1u, s > 0.1202552504837513);
  code += select(0u, 1u, s > 0.2035212516784668);
  code += select(0u, 1u, s > 0.2920137718319893);
  code += select(0u, 1u, s > 0.3893125355243683);
  code += select(0u, 1u, s > 0.5016634166240692);
  code += select(0u, 1u, s > 0.6427869200706482);
  code += select(0u, 1u, s > 0.8614784181118011);
  return code;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = flat_group(group, groups) * (64u / LANES) + lane / LANES;
  let begin = block * BLOCK;
  let end = min(begin + BLOCK, p.count);
  let member = lane % LANES;

  var most = 0u;
  for (var word = member; word < BLOCK / 8u; word += LANES) {
    for (var k = 0u; k < 8u; k++) {
      let i = begin + word * 8u + k;
      if (i < end) {
        most = max(most, magnitude_bits(x_at(i)));
      }
    }
  }
  // Bits of magnitudes order like numbers with NaN on top, so that a NaN marks its block instead of hiding in it.
  largest[lane] = most;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (member < half) {
      largest[lane] = max(largest[lane], largest[lane + half]);
    }
  }
  workgroupBarrier();
  let bits = largest[lane - member];
  if (begin >= p.count) {
    return;
  }
  if (member == 0u) {
    absmax[p.first_block + block] = bitcast<f32>(bits);
  }
  let scale = exact_reciprocal(bits);
  // A block of zeros scales 0 by infinity: the comparisons with that NaN all fail, which is code 0.
  let silent = bits == 0u || bits > 0x7f800000u;
  for (var word = member; word < BLOCK / 8u; word += LANES) {
    let first = begin + word * 8u;
    if (first < p.count) {
      var codes = 0u;
      for (var k = 0u; k < 8u; k++) {
        let i = first + k;
        var value = 0.0; // The last byte of an odd tensor is filled up with the code of zero.
        if (i < end) {
          value = x_at(i);
        }
        let undefined = silent || magnitude_bits(value) >= 0x7f800000u; // infinity * 0
        let code = select(code_of(value * scale), 0u, undefined);
        codes |= code << (4u * (k ^ 1u)); // The first of two codes is the high nibble.
      }
      packed[first / 8u] = codes;
    }
  }
}

#include "include/eight.wgsl"
#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<u32>;
// Writes the first `count` from element `at` on; both are even, so that a word has one owner.
fn {{name}}_put8(at: u32, count: u32, v: Eight) {
  for (var i = 0u; i < 2u; i++) {
    if (2u * i < count) {
      {{name}}[at / 2u + i] = pack_half(vec2f(v.low[2u * i], v.low[2u * i + 1u]));
    }
    if (2u * i + 4u < count) {
      {{name}}[at / 2u + i + 2u] = pack_half(vec2f(v.high[2u * i], v.high[2u * i + 1u]));
    }
  }
}

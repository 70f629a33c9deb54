#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<u32>;
// Writes elements 2·pair and 2·pair + 1: one thread owns both halves of a word. Buffers are padded to whole words.
fn {{name}}_put(pair: u32, v: vec2f, count: u32) {
  {{name}}[pair] = pack_half(v);
}

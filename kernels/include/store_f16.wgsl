#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<u32>;
// Writes elements i and i + 1; i is even, and rows have an even width, so that a word has one owner.
fn {{name}}_store(i: u32, v: vec2f, both: bool) {
  {{name}}[i >> 1u] = pack_half(v);
}

#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4u>;
// Writes elements 8·word … 8·word + 7 of a tensor that is padded to 16 bytes.
fn {{name}}_put8(word: u32, first: vec4f, second: vec4f, count: u32) {
  {{name}}[word] = pack_eight(first, second);
}

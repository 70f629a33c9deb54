@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec4f>;
// Writes elements 8·word … 8·word + 7 of a tensor of `count` elements that is padded to 16 bytes.
fn {{name}}_put8(word: u32, first: vec4f, second: vec4f, count: u32) {
  {{name}}[word * 2u] = first;
  if (word * 8u + 4u < count) {
    {{name}}[word * 2u + 1u] = second;
  }
}

@group(0) @binding({{binding}}) var<storage, {{access}}> {{name}}: array<u32>;
// Eight f16 from element `at` on, of which the first `count` are in the row, the others zero.
fn {{name}}_halves(at: u32, count: u32) -> vec4u {
  var words: vec4u;
  for (var i = 0u; i < 8u; i++) {
    if (i < count) {
      let half = ({{name}}[(at + i) / 2u] >> ((at + i) % 2u * 16u)) & 0xffffu;
      words[i / 2u] |= half << (i % 2u * 16u);
    }
  }
  return words;
}

@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec2u>;
// Four neighbouring elements of a row, `at` and those after it; the first `count` are in the row: all, since rows are multiples
// of eight wide.
fn {{name}}_get4(at: u32, count: u32) -> vec4f {
  let words = {{name}}[at / 4u];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

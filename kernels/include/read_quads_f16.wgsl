@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec2u>;
// Elements 4·c … 4·c + 3 of the row of `width` elements (a multiple of 4) that starts at element `base`.
fn {{name}}_quad(base: u32, c: u32, width: u32) -> vec4f {
  let words = {{name}}[base / 4u + c];
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

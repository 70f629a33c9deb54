@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec4f>;
// Elements 4·c … 4·c + 3 of the row of `width` elements (a multiple of 4) that starts at element `base`.
fn {{name}}_quad(base: u32, c: u32, width: u32) -> vec4f {
  return {{name}}[base / 4u + c];
}

@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<f32>;
// Writes those of elements 4·c … 4·c + 3 that lie in the row of `width` elements that starts at element `base`.
fn {{name}}_put_quad(base: u32, c: u32, width: u32, v: vec4f) {
  let column = c * 4u;
  for (var k = 0u; k < min(4u, width - min(column, width)); k++) {
    {{name}}[base + column + k] = v[k];
  }
}

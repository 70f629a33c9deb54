@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<f32>;
// Writes elements 2·pair and 2·pair + 1 of a tensor of `count` elements.
fn {{name}}_put(pair: u32, v: vec2f, count: u32) {
  let i = pair * 2u;
  {{name}}[i] = v.x;
  if (i + 1u < count) {
    {{name}}[i + 1u] = v.y;
  }
}

@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<f32>;
// Writes elements i and, if `both`, i + 1.
fn {{name}}_store(i: u32, v: vec2f, both: bool) {
  {{name}}[i] = v.x;
  if (both) {
    {{name}}[i + 1u] = v.y;
  }
}

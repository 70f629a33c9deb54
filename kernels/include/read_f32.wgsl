@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<f32>;
fn {{name}}_at(i: u32) -> f32 {
  return {{name}}[i];
}

@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<u32>;
fn {{name}}_at(i: u32) -> f32 {
  return f32({{name}}[i]);
}

@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<u32>;
fn {{name}}_at(i: u32) -> f32 {
  return unpack2x16float({{name}}[i >> 1u])[i & 1u];
}

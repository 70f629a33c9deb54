// Elements of four bytes as they are.
@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<u32>;
fn {{name}}_at(i: u32) -> u32 {
  return {{name}}[i];
}

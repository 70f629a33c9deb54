@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec4f>;
fn {{name}}_get4(at: u32, count: u32) -> vec4f {
  return {{name}}[at / 4u];
}

// Elements of four bytes as they are.
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<u32>;
fn {{name}}_put(pair: u32, v: vec2u, count: u32) {
  let i = pair * 2u;
  {{name}}[i] = v.x;
  if (i + 1u < count) {
    {{name}}[i + 1u] = v.y;
  }
}

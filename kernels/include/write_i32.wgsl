@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<i32>;
fn {{name}}_put(pair: u32, v: vec2f, count: u32) {
  let i = pair * 2u;
  {{name}}[i] = i32(v.x);
  if (i + 1u < count) {
    {{name}}[i + 1u] = i32(v.y);
  }
}

@group(0) @binding({{binding}}) var<storage, read> {{name}}: array<vec4u>;
// Eight f16 of row `outer` from `inner` on, zero outside; rows are a multiple of eight wide.
fn {{name}}_chunk(start: u32, outer: u32, inner: u32, rows: u32, width: u32) -> vec4u {
  if (outer >= rows || inner >= width) {
    return vec4u();
  }
  return {{name}}[(start + outer * width + inner) / 8u];
}

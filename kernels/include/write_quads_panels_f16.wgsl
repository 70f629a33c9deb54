#include "include/half.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec2u>;
// As write_quads_f16.wgsl, to the panels of src/tensor/gemm/panels.ts of a matrix of p.rows rows.
fn {{name}}_put_quad(base: u32, c: u32, width: u32, v: vec4f) {
  let row = base / width;
  let in_panel = row / 8u * 8u + row % 4u * 2u + row / 4u % 2u;
  let height = (p.rows + 31u) / 32u * 32u;
  {{name}}[(c / 8u * height + in_panel) * 8u + c % 8u] = pack_quad(v);
}

#include "include/half.wgsl"
#include "include/panel_order.wgsl"
@group(0) @binding({{binding}}) var<storage, read_write> {{name}}: array<vec2u>;
// As write_quads_f16.wgsl, to the panels of src/tensor/gemm/panels.ts of a matrix of p.rows rows.
fn {{name}}_put_quad(base: u32, c: u32, width: u32, v: vec4f) {
  let row = c / 8u * panel_height(p.rows) + row_in_panel(base / width);
  {{name}}[row * 8u + c % 8u] = pack_quad(v);
}

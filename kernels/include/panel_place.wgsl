// Where eight elements of a matrix [rows, width] lie row by row, and where in the panels of src/tensor/gemm/panels.ts: places
// count eights. A workgroup of 256 invocations takes 32 rows × 64 columns, an invocation eight; neighbours read and write
// whole 128 bytes in either order. `width` is a multiple of 64. Rows beyond the last are padding of the panels: `inside` is
// false there.
#include "include/panel_order.wgsl"
struct PanelPlace {
  in_rows: u32,
  in_panels: u32,
  inside: bool,
}

fn panel_place(group: u32, lane: u32, rows: u32, width: u32) -> PanelPlace {
  let across = width / 64u;
  let column = group % across * 8u + lane % 8u; // counts eights
  let in_panel = group / across * 32u + lane / 8u;
  let row = row_of_panel(in_panel);
  let first = column / 4u * panel_height(rows); // row of the panels, one above the other
  return PanelPlace(row * (width / 8u) + column, (first + in_panel) * 4u + column % 4u, row < rows);
}

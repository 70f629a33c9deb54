// Where eight elements of a matrix [rows, width] lie row by row, and where in the panels of src/tensor/gemm/panels.ts: places
// count eights. A workgroup of 256 invocations takes 32 rows × 64 columns, an invocation eight; neighbours read and write
// whole 128 bytes in either order. `width` is a multiple of 64. Rows beyond the last are padding of the panels: `inside` is
// false there.
struct PanelPlace {
  in_rows: u32,
  in_panels: u32,
  inside: bool,
}

fn panel_place(group: u32, lane: u32, rows: u32, width: u32) -> PanelPlace {
  let across = width / 64u;
  let column = group % across * 8u + lane % 8u; // counts eights
  let in_panel = group / across * 32u + lane / 8u;
  let row = in_panel / 8u * 8u + in_panel % 8u / 2u + in_panel % 2u * 4u;
  let height = (rows + 31u) / 32u * 32u;
  return PanelPlace(row * (width / 8u) + column, (column / 4u * height + in_panel) * 4u + column % 4u, row < rows);
}

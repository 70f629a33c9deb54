// The order of src/tensor/gemm/panels.ts; gemm_matrix.wgsl reads it.
const PANEL_COLUMNS = 32u;

// Rows of a panel of a matrix with so many.
fn panel_height(rows: u32) -> u32 {
  return (rows + 31u) / 32u * 32u;
}

// Where a row lies in its panel: of eight rows 0, 4, 1, 5, 2, 6, 3, 7 follow each other.
fn row_in_panel(row: u32) -> u32 {
  return row / 8u * 8u + row % 4u * 2u + row / 4u % 2u;
}

// The row that lies there.
fn row_of_panel(place: u32) -> u32 {
  return place / 8u * 8u + place % 8u / 2u + place % 2u * 4u;
}

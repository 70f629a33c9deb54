#include "include/panel_order.wgsl"
// The panels of a matrix [k, n].
fn place_of(word: u32) -> u32 {
  let k = p.first_row + word * 8u / p.width;
  let column = word * 8u % p.width;
  let row = column / PANEL_COLUMNS * p.tiles * 32u + row_in_panel(k);
  return row * 4u + column % PANEL_COLUMNS / 8u;
}

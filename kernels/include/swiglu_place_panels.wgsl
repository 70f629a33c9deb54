// Packs of eight that an invocation reads from rows and writes to panels.
#include "include/panel_place.wgsl"
struct Place {
  input: u32,
  output: u32,
  inside: bool,
}
fn place_of(group: u32, lane: u32) -> Place {
  let place = panel_place(group, lane, p.rows, p.width);
  return Place(place.in_rows, place.in_panels, place.inside);
}

// Place of a workgroup's tile in the grid of `rows` × `columns` tiles of results. Neighbouring workgroups share tiles of
// operands in the cache: the way is in bands of eight rows.
fn place_of(tile: u32) -> vec2u {
  const BAND = 8u;
  let in_band = BAND * p.columns;
  let band = tile / in_band;
  let height = min(BAND, p.rows - band * BAND);
  let within = tile % in_band;
  return vec2u(band * BAND + within % height, within / height);
}

// For the attention kernels on matrix units: eight sums of an invocation, of row `of_row` and column of fragments `c`, after
// attention_leave.wgsl brought two columns to {{array}} and to the tiles.
  let c = 2u * pair + odd;
  let at = (subgroup * {{ROW_FRAGMENTS}} + r) * 64u + lane * 2u;
  let low = bitcast<vec4f>(select({{array}}[at], tiles[at], odd == 1u));
  let high = bitcast<vec4f>(select({{array}}[at + 1u], tiles[at + 1u], odd == 1u));
  let of_row = own_row + r * 16u + lane / 2u;

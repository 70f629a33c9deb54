// The panels of src/tensor/gemm/panels.ts of a matrix [k, n].
fn place_of(word: u32) -> u32 {
  let k = p.first_row + word * 8u / p.width;
  let column = word * 8u % p.width;
  let row = k / 8u * 8u + k % 4u * 2u + k / 4u % 2u;
  return (column / 32u * p.tiles * 32u + row) * 4u + column % 32u / 8u;
}

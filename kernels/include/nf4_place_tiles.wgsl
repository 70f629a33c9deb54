// The tiles of src/tensor/gemm/tiles.ts of a matrix [n, k], whose rows are columns of the result.
fn place_of(word: u32) -> u32 {
  let column = word * 8u / p.width;
  let k = word * 8u % p.width;
  let tile = column / 128u * p.tiles + k / 32u;
  return tile * 512u + column % 128u * 4u + k % 32u / 8u;
}

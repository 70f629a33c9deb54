// The tiles of src/tensor/gemm/tiles.ts of a matrix [k, n].
fn place_of(word: u32) -> u32 {
  let k = word * 8u / p.width;
  let column = word * 8u % p.width;
  let tile = column / 128u * p.tiles + k / 32u;
  return tile * 512u + k % 32u * 16u + column % 128u / 8u;
}

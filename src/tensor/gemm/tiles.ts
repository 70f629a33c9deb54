/**
 * The order in which matrix units like a frozen operand best: tiles of 128 columns of the result by 32 steps of the
 * depth, row-major with a step of the depth a row, as they go to workgroup memory; tiles of the same columns follow each
 * other. It is the order in which products with an operand [k, n] read it, which are a little faster than those with an
 * operand [n, k] (bench/NOTES.md).
 */
export const TILE_COLUMNS = 128;
export const TILE_DEPTH = 32;

/** Elements of a matrix of n columns of the result and depth k in tiles; steps beyond the depth are zero. */
export function tiledSize(n: number, k: number): number {
  return Math.ceil(n / TILE_COLUMNS) * TILE_COLUMNS * Math.ceil(k / TILE_DEPTH) * TILE_DEPTH;
}

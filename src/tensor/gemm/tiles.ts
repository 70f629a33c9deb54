/**
 * The order in which matrix units like a frozen operand b best: tiles of 128 columns of the result by 32 of the depth,
 * each stored as it goes to workgroup memory; tiles of the same columns follow each other. Of b [n, k] (transposed)
 * a tile's rows are columns of the result, of b [k, n] they are steps of the depth.
 */
export const TILE_COLUMNS = 128;
export const TILE_DEPTH = 32;

/** Elements of a matrix of n columns of the result and depth k in tiles; those beyond its edges are zero. */
export function tiledSize(n: number, k: number): number {
  return Math.ceil(n / TILE_COLUMNS) * TILE_COLUMNS * Math.ceil(k / TILE_DEPTH) * TILE_DEPTH;
}

import { depthTiles, groupsOf, LEAST_TILES, type Sizes, type TileName } from './tiles.ts';

/**
 * Workgroups of the large tiles that run side by side on an NVIDIA H100 or H200: two on each of 132 cores. Where their
 * number is another, the tail that is shared is not the one that would idle, but the result is as right.
 */
export const ROUND = 264;

/** Tiles beyond the last full round; those of several products at once are not told apart. */
export const tailOf = (tile: TileName, sizes: Sizes) => (sizes.batch > 1 ? 0 : groupsOf(tile, sizes) % ROUND);

/** Storing a part and adding it takes as long as so much depth. */
const DEPTH_OF_PART = 440;
const MOST_IN_TAIL = 8;
/** Results of the tiles that run in rounds of {@link ROUND}. */
export const LEAST_SHARED_TAIL = 128 * 128;

/** Workgroups that share each tile beyond the last full round so that the GPU is busy until the end; and the rounds of the product. */
export function tailSplits(tile: TileName, sizes: Sizes): { splits: number; rounds: number } {
  const tail = tailOf(tile, sizes);
  const full = (groupsOf(tile, sizes) - tail) / ROUND;
  let best = { splits: 1, rounds: Math.ceil(full + tail / ROUND) };
  for (let splits = 2; splits <= Math.min(MOST_IN_TAIL, depthTiles(sizes.k) / LEAST_TILES); splits++) {
    const parts = tail * splits;
    const rounds = full + Math.ceil(parts / ROUND) / splits + (parts / ROUND) * (DEPTH_OF_PART / sizes.k);
    if (full > 0 && rounds < best.rounds) best = { splits, rounds };
  }
  return best;
}

import { LEAST_SHARED_TAIL, ROUND, tailOf, tailSplits } from './rounds.ts';
import {
  depthTiles,
  groupsOf,
  LEAST_TILES,
  type Sizes,
  suits,
  TILE_NAMES,
  TILES,
  type TileName,
  tilesOf,
} from './tiles.ts';

/** How the work of a product on matrix units is cut up. */
export interface Tiling {
  tile: TileName;
  /** Workgroups that share the depth of a tile; each adds up its part, and the parts are added in order. */
  splits: number;
  /** Whether only those tiles are shared that do not fill a round of workgroups. */
  tail: boolean;
}

/** Beyond so many times the workgroups that are enough, sharing brings nothing. */
const MOST_OVER_ENOUGH = 2;

/** Workgroups that WebGPU promises along one dimension of a launch. */
const MOST_GROUPS = 65535;

const isLaunchable = (tile: TileName, sizes: Sizes) => tilesOf(tile, sizes) <= MOST_GROUPS;

/** How many tiles of results one workgroup each computes alone; they come first. */
export function wholeTiles({ tile, splits, tail }: Tiling, sizes: Sizes): number {
  const tiles = tilesOf(tile, sizes);
  if (splits === 1) return tiles;
  return tail ? tiles - tailOf(tile, sizes) : 0;
}

/** More workgroups than these bring nothing, and the parts that they leave take memory. */
const mostByGroups = (tile: TileName, tail: boolean, sizes: Sizes) =>
  Math.max(1, (MOST_OVER_ENOUGH * TILES[tile].enough) / (tail ? tailOf(tile, sizes) : groupsOf(tile, sizes)));

/**
 * Whether a tiling that was kept for products of the same key can be taken for this one: sizes differ a little. A tail may
 * have more workgroups where these just fill rounds.
 */
export const serves = ({ tile, splits, tail }: Tiling, sizes: Sizes) =>
  suits(tile, sizes) &&
  isLaunchable(tile, sizes) &&
  (splits <= mostByGroups(tile, tail, sizes) || (tail && splits === tailSplits(tile, sizes).splits));

/**
 * The large tiles, and how fast the workgroups that run side by side compute with them beside the first, as measured: a
 * wide tile has fewer loads for each product, where its rows in storage fill lines of the cache.
 */
const LARGE = { panels: { '128x128': 1, '128x160': 1.1 }, rows: { '128x128': 1, '160x128': 1.04 } } as const;

function largeTiling(sizes: Sizes): Tiling {
  const large = Object.entries(LARGE[sizes.panelsB ? 'panels' : 'rows']) as [TileName, number][];
  const suited = large.filter(([tile]) => suits(tile, sizes));
  const times = suited.map(([tile, speed]) => {
    const { splits, rounds } = tailSplits(tile, sizes);
    return { tile, splits, tail: splits > 1, time: (rounds * TILES[tile].TM * TILES[tile].TN) / speed };
  });
  const { time: _, ...best } = times.reduce((first, other) => (other.time < first.time ? other : first));
  return best;
}

/** What is taken where nothing was measured: the largest tiles that leave enough work for all parts of the GPU, when workgroups may share the depth. */
export function defaultTiling(sizes: Sizes): Tiling {
  const { m, n, k, panelsB } = sizes;
  const depth = Math.max(1, Math.floor(depthTiles(k) / LEAST_TILES));
  const large = groupsOf('128x128', sizes);
  const thin = m <= 16 ? '16x128' : n <= 16 && !panelsB ? '128x16' : null;
  if (!thin && m > 64 && n > 64 && large >= ROUND) return largeTiling(sizes);
  const fits128 = m > 64 && n > 64 && large * depth >= TILES['128x128'].enough;
  const tile = thin ?? (fits128 ? '128x128' : n > 64 ? '64x128' : '64x64');
  const wanted = Math.floor(TILES[tile].enough / groupsOf(tile, sizes));
  return { tile, splits: Math.max(1, Math.min(wanted, depth)), tail: false };
}

/** How many workgroups really share the depth when each takes as many of its tiles as the others, but for the last. */
export function evenSplits(k: number, splits: number): { share: number; splits: number } {
  const tiles = depthTiles(k);
  const share = Math.ceil(tiles / Math.min(splits, tiles));
  return { share, splits: Math.ceil(tiles / share) };
}

/** Tilings that may be the fastest for a product: the default first, then others. */
export function candidates(sizes: Sizes): Tiling[] {
  const { m, n, k } = sizes;
  const found = [defaultTiling(sizes)];
  const names = TILE_NAMES.filter((tile) => suits(tile, sizes));
  const results = (tile: TileName) => groupsOf(tile, sizes) * TILES[tile].TM * TILES[tile].TN;
  const least = Math.min(...names.map(results));
  for (const tile of names) {
    const { TM, TN } = TILES[tile];
    // Mostly padding, or thin tiles for what is not thin.
    if (results(tile) > 4 * least || (TM < 64 && m > 4 * TM) || (TN < 64 && n > 4 * TN)) continue;
    if (!isLaunchable(tile, sizes)) continue;
    const ofTail = TM * TN < LEAST_SHARED_TAIL ? 1 : tailSplits(tile, sizes).splits;
    if (ofTail > 1 && !(found[0].tail && found[0].tile === tile)) found.push({ tile, splits: ofTail, tail: true });
    const most = Math.min(mostByGroups(tile, false, sizes), depthTiles(k) / LEAST_TILES);
    for (let power = 1; power === 1 || power <= most; power *= 2)
      for (const wanted of power === 1 ? [1] : [power, 1.5 * power]) {
        const { splits } = evenSplits(k, wanted);
        const known = found.some(
          (other) => other.tile === tile && !other.tail && evenSplits(k, other.splits).splits === splits,
        );
        if (!known && (wanted === 1 || wanted <= most)) found.push({ tile, splits, tail: false });
      }
  }
  return found;
}

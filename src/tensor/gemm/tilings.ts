import type { DType } from '../dtype.ts';
import { PANEL_COLUMNS, TILE_DEPTH } from './panels.ts';

/** What a workgroup computes. */
export interface TileShape {
  /** Results of a workgroup, and of each of its four subgroups. */
  TM: number;
  TN: number;
  WM: number;
  WN: number;
  /**
   * Workgroups that keep a large GPU busy, as measured for the products of an 8B model on an NVIDIA H200 (`tune`), which
   * runs two to four of them side by side on each of 132 cores. Where there are fewer, several share the depth of a tile.
   */
  enough: number;
}

/** The tile shapes of gemm_matrix.wgsl; the last two are for LoRA's thin matrices, and for a few tokens at a time. */
export const TILES = {
  '128x128': { TM: 128, TN: 128, WM: 64, WN: 64, enough: 256 },
  '128x160': { TM: 128, TN: 160, WM: 64, WN: 80, enough: 256 },
  '160x128': { TM: 160, TN: 128, WM: 80, WN: 64, enough: 256 },
  '64x128': { TM: 64, TN: 128, WM: 32, WN: 64, enough: 256 },
  '64x64': { TM: 64, TN: 64, WM: 32, WN: 32, enough: 512 },
  '128x16': { TM: 128, TN: 16, WM: 32, WN: 16, enough: 512 },
  '16x128': { TM: 16, TN: 128, WM: 16, WN: 32, enough: 512 },
} as const satisfies Record<string, TileShape>;

export type TileName = keyof typeof TILES;
export const TILE_NAMES = Object.keys(TILES) as TileName[];

/** How the work of a product on matrix units is cut up. */
export interface Tiling {
  tile: TileName;
  /** Workgroups that share the depth of a tile; each adds up its part, and the parts are added in order. */
  splits: number;
  /** Whether only those tiles are shared that do not fill a round of workgroups. */
  tail: boolean;
}

/**
 * Workgroups of the large tiles that run side by side on an NVIDIA H100 or H200: two on each of 132 cores. Where their
 * number is another, the tail that is shared is not the one that would idle, but the result is as right.
 */
const ROUND = 264;

/** Sizes of a product of [m, k] and [k, n], and how its operands lie. */
export interface ProductSizes {
  /** a is [k, m], b is [n, k]. */
  transposeA: boolean;
  transposeB: boolean;
  /** a lies in panels, see panels.ts. */
  panelsA: boolean;
  /** b lies in panels: those of a frozen weight, with room for tiles beyond the last, or with transposeA just its own. */
  panelsB: boolean;
  batch: number;
  m: number;
  n: number;
  k: number;
}

/** What decides how fast a product is. */
export interface ProductShape extends ProductSizes {
  /** Depth of the rider; 0 without one. */
  rider: number;
  /** Dtype of the result. */
  y: DType;
  /** Dtype of what is added; `own`: the result itself collects. */
  addend: DType | 'own' | 'none';
}

/** Tiles of the depth that are worth a workgroup of their own. */
const LEAST_TILES = 8;
/** Beyond so many times the workgroups that are enough, sharing brings nothing. */
const MOST_OVER_ENOUGH = 2;

const powerOfTwo = (x: number) => (x <= 1 ? x : 2 ** (32 - Math.clz32(x - 1)));

/**
 * The name under which a product's tiling is kept. Sizes that vary with the tokens of a batch are rounded up to a power of
 * two: m, and the depth of a transposed a.
 */
export function keyOf(shape: ProductShape): string {
  const { transposeA, transposeB, panelsA, panelsB, batch, m, n, k, rider, y, addend } = shape;
  const order = `${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}`;
  const size = `${powerOfTwo(m)}x${n}x${transposeA ? powerOfTwo(k) : k}${batch > 1 ? ` batch ${batch}` : ''}`;
  const panels = panelsA ? ` panels of ${panelsB ? 'both' : 'a'}` : panelsB ? ' panels' : '';
  return `${order} ${size}${panels}${rider > 0 ? ' rider' : ''} ${y}${addend === 'none' ? '' : ` + ${addend}`}`;
}

/** Tiles along the depth; a depth of 0 is one tile of zeros. */
export const depthTiles = (k: number) => Math.max(1, Math.ceil(k / TILE_DEPTH));

type Sizes = Omit<ProductSizes, 'transposeB'>;

/**
 * Operands in panels are read by kernels whose tiles are whole panels wide and, where they lie across the depth with
 * nothing behind them, end with the last panel.
 */
export function suits(tile: TileName, { transposeA, panelsA, panelsB, m, n }: Sizes): boolean {
  const fits = (side: number, size: number) => side % PANEL_COLUMNS === 0 && (!transposeA || size % side === 0);
  return (!panelsA || fits(TILES[tile].TM, m)) && (!panelsB || fits(TILES[tile].TN, n));
}

const groupsOf = (tile: TileName, { m, n, batch }: Sizes) =>
  Math.ceil(m / TILES[tile].TM) * Math.ceil(n / TILES[tile].TN) * batch;

/** Workgroups that WebGPU promises along one dimension of a launch. */
const MOST_GROUPS = 65535;

/** Tiles beyond the last full round; those of several products at once are not told apart. */
const tailOf = (tile: TileName, sizes: Sizes) => (sizes.batch > 1 ? 0 : groupsOf(tile, sizes) % ROUND);

/** How many tiles of results one workgroup each computes alone; they come first. */
export function wholeTiles({ tile, splits, tail }: Tiling, sizes: Sizes): number {
  const groups = groupsOf(tile, sizes) / sizes.batch;
  if (splits === 1) return groups;
  return tail ? groups - tailOf(tile, sizes) : 0;
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
  groupsOf(tile, sizes) / sizes.batch <= MOST_GROUPS &&
  (splits <= mostByGroups(tile, tail, sizes) || (tail && splits === tailSplits(tile, sizes).splits));

/**
 * The large tiles, and how fast the workgroups that run side by side compute with them beside the first, as measured: a
 * wide tile has fewer loads for each product, where its rows in storage fill lines of the cache.
 */
const LARGE = { panels: { '128x128': 1, '128x160': 1.1 }, rows: { '128x128': 1, '160x128': 1.04 } } as const;

/** Storing a part and adding it takes as long as so much depth. */
const DEPTH_OF_PART = 440;
const MOST_IN_TAIL = 8;
/** Results of the tiles that run in rounds of {@link ROUND}. */
const LEAST_SHARED_TAIL = 128 * 128;

/** Workgroups that share each tile beyond the last full round so that the GPU is busy until the end; and the rounds of the product. */
function tailSplits(tile: TileName, sizes: Sizes): { splits: number; rounds: number } {
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
    if (groupsOf(tile, sizes) / sizes.batch > MOST_GROUPS) continue;
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

import { PANEL_COLUMNS, TILE_DEPTH } from './panels.ts';
import type { ProductSizes } from './product-shape.ts';

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

/** Tiles along the depth; a depth of 0 is one tile of zeros. */
export const depthTiles = (k: number) => Math.max(1, Math.ceil(k / TILE_DEPTH));

/** Tiles of the depth that are worth a workgroup of their own. */
export const LEAST_TILES = 8;

/** What tiles are chosen by. */
export type Sizes = Omit<ProductSizes, 'transposeB'>;

/**
 * Operands in panels are read by kernels whose tiles are whole panels wide and, where they lie across the depth with
 * nothing behind them, end with the last panel.
 */
export function suits(tile: TileName, { transposeA, panelsA, panelsB, m, n }: Sizes): boolean {
  const fits = (side: number, size: number) => side % PANEL_COLUMNS === 0 && (!transposeA || size % side === 0);
  return (!panelsA || fits(TILES[tile].TM, m)) && (!panelsB || fits(TILES[tile].TN, n));
}

/** Tiles of results of one product. */
export const tilesOf = (tile: TileName, { m, n }: Sizes) =>
  Math.ceil(m / TILES[tile].TM) * Math.ceil(n / TILES[tile].TN);

/** Tiles of results of all products. */
export const groupsOf = (tile: TileName, sizes: Sizes) => tilesOf(tile, sizes) * sizes.batch;

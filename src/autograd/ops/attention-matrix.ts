import type { Launch } from '../../tensor/device.ts';

/** `matrix`: on matrix units; `emulated`: the same kernels in plain WGSL, for tests. */
export type FragmentUnits = 'matrix' | 'emulated';

export type MatrixEntry = 'forward' | 'gradient_queries' | 'gradient_keys';

/** A kernel in one layout of tiles and subgroups. */
export interface MatrixKernel extends Pick<Launch, 'kernel' | 'defines'> {
  /** Rows (queries, or keys in `gradient_keys`) of a workgroup. */
  rows: number;
  /** Workgroup memory that it takes. */
  bytes: number;
}

/**
 * Workgroup memory of all workgroups of a core together, as measured on an NVIDIA H200 under Vulkan: of 24,576 bytes each
 * two run side by side, of 25,600 one. A workgroup alone on a core waits at its own barriers.
 */
const BYTES_OF_CORE = 49152;

/** How many workgroups a core of an NVIDIA GPU has workgroup memory for; registers may allow fewer. */
export function workgroupsByBytes(bytes: number): number {
  return Math.floor(BYTES_OF_CORE / bytes);
}

/** Tiles of a workgroup and how its subgroups share them; the kernels say how, and with what they count. */
interface Tiles {
  queries: number;
  keys: number;
  rowGroups: number;
  /** Of `forward`. */
  columnGroups?: number;
  /** Of `gradient_keys`. */
  places?: number;
}

/**
 * Layouts by entry and head size, fastest first as measured on an NVIDIA H200 (bench/attention.ts); the first that fits into
 * workgroup memory is used.
 */
const TILES: Record<MatrixEntry, Record<number, readonly Tiles[]>> = {
  forward: {
    64: [{ queries: 64, keys: 32, rowGroups: 2, columnGroups: 2 }],
    128: [
      { queries: 128, keys: 32, rowGroups: 4, columnGroups: 2 },
      { queries: 64, keys: 16, rowGroups: 4, columnGroups: 1 },
    ],
  },
  gradient_queries: {
    64: [{ queries: 64, keys: 16, rowGroups: 2 }],
    128: [{ queries: 64, keys: 16, rowGroups: 2 }],
  },
  gradient_keys: {
    64: [{ keys: 64, queries: 16, rowGroups: 2, places: 2 }],
    128: [{ keys: 64, queries: 16, rowGroups: 2, places: 1 }],
  },
};

const FILES: Record<MatrixEntry, string> = {
  forward: 'attention_forward_matrix.wgsl',
  gradient_queries: 'attention_queries_matrix.wgsl',
  gradient_keys: 'attention_keys_matrix.wgsl',
};

/** Of 16 × 16 sums in f32. */
const FRAGMENT_BYTES = 1024;

/** Bytes of rows of `halves` f16 and `floats` f32, each row padded by 16 bytes. */
const rowBytes = (rows: number, { halves = 0, floats = 0 }) => rows * (halves * 2 + floats * 4 + 16);

/** Rows, or half of them, a quarter, …: as many as there is room for. */
const halvedTo = (room: number, rows: number): number => (rows <= room ? rows : halvedTo(room, rows / 2));

function layout(entry: MatrixEntry, width: number, units: FragmentUnits, tiles: Tiles): MatrixKernel {
  const { queries, keys, rowGroups, columnGroups = 1, places = 1 } = tiles;
  const threads = 32 * rowGroups * columnGroups * (entry === 'forward' ? 1 : 2);
  const [rows, others] = entry === 'gradient_keys' ? [keys, queries] : [queries, keys];
  const sumColumns = entry === 'gradient_queries' ? width / 2 : width / columnGroups;
  const rowFragments = rows / rowGroups / 16;
  const { tileRows, scores, rest } = {
    forward: {
      tileRows: 2 * keys,
      scores: rowBytes(queries, { floats: keys, halves: keys }),
      rest: 4 * (threads + queries),
    },
    gradient_queries: {
      tileRows: 3 * keys,
      scores: rowBytes(queries, { floats: 2 * keys, halves: keys }),
      rest: 8 * keys,
    },
    gradient_keys: {
      tileRows: 2 * places * queries,
      scores: rowBytes(keys, { floats: 2 * queries }),
      rest: 24 * queries,
    },
  }[entry];
  // A column of fragments of each subgroup's sums comes to lie over the tiles.
  const tileBytes = Math.max(rowBytes(tileRows, { halves: width }), (threads / 32) * rowFragments * FRAGMENT_BYTES);
  // Own rows come through the place of tiles, of `forward` through that of scores.
  const room = entry === 'forward' ? scores / rowBytes(1, { halves: width }) : tileRows;
  const staged = halvedTo(room, rows);
  return {
    kernel: FILES[entry],
    defines: {
      UNITS: units,
      UNROLL: units === 'matrix' ? 'yes' : 'no',
      WIDTH: width,
      QUERIES: queries,
      KEYS: keys,
      ROW_GROUPS: rowGroups,
      COLUMN_GROUPS: columnGroups,
      PLACES: places,
      // Numbers of fragments.
      DEPTH_FRAGMENTS: width / 16,
      ROW_FRAGMENTS: rowFragments,
      OTHER_FRAGMENTS: others / 16,
      SCORE_FRAGMENTS: others / columnGroups / 16,
      SUM_FRAGMENTS: sumColumns / 16,
      SUM_PAIRS: sumColumns / 32,
      // Own rows that pass through workgroup memory at a time, how often, and chunks of them that a thread moves.
      STAGED: staged,
      STAGES: rows / staged,
      STAGE_LOADS: (staged * width) / 8 / threads,
      // Of a thread: chunks of a tile that it moves, and its part of a row of scores in chunks of eight and in vec4s.
      LOADS: (others * width) / 8 / threads,
      PART_CHUNKS: (others * rows) / threads / 8,
      PART_QUADS: (others * rows) / threads / 4,
    },
    rows,
    // Two small variables at the end.
    bytes: tileBytes + scores + rest + 32,
  };
}

/** All layouts of an entry, for benchmarks and tests. */
export function matrixKernels(entry: MatrixEntry, width: number, units: FragmentUnits): MatrixKernel[] {
  return (TILES[entry][width] ?? []).map((tiles) => layout(entry, width, units, tiles));
}

/** The layout that is used where a workgroup has `limit` bytes of memory; undefined if none fits. */
export function matrixKernel(
  entry: MatrixEntry,
  width: number,
  units: FragmentUnits,
  limit: number,
): MatrixKernel | undefined {
  return matrixKernels(entry, width, units).find(({ bytes }) => bytes <= limit);
}

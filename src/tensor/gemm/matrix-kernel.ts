import { combinations, type KernelVariant } from '../variants.ts';
import { PANEL_COLUMNS, TILE_DEPTH } from './panels.ts';
import { bindingsOf } from './product.ts';
import { suits, TILE_NAMES, TILES, type TileName, type TileShape } from './tiles.ts';

const INVOCATIONS = 128;

/** A tile of an operand with rows of `width` f16, padded. */
const tileBytes = (rows: number, width: number) => rows * (width * 2 + 16);

/** A row of fragments of results of each subgroup, f32, padded. */
const resultBytes = (width: number) => 4 * 16 * (width * 4 + 32);

/** Workgroup memory of a tile shape: tiles of both operands, as large as either direction makes them, or results. */
function workgroupBytes({ TM, TN, WN }: TileShape): number {
  const operand = (side: number) => Math.max(tileBytes(side, TILE_DEPTH), tileBytes(TILE_DEPTH, side));
  return Math.max(operand(TM) + operand(TN), resultBytes(WN));
}

/**
 * What the largest tile shape takes. An NVIDIA H200 has 48 KiB for all workgroups of a core together: with more than
 * 24,576 bytes each workgroup is alone there and waits at its own barriers, at half the speed.
 */
export const WORKGROUP_BYTES = Math.max(...Object.values(TILES).map(workgroupBytes));

export type Edges = 'aligned' | 'ragged';
/** What kernels count places of such operands in. */
const UNITS: Record<Edges, number> = { aligned: 8, ragged: 1 };

/** What decides which text of gemm_matrix.wgsl computes a product. */
interface Choice {
  shape: TileShape;
  transposeA: boolean;
  transposeB: boolean;
  panelsA: boolean;
  panelsB: boolean;
  /** Whether no operand's buffer is bound elsewhere in the launch. */
  alone: boolean;
  /** Whether rows of each operand, of the rider's and of the result are multiples of eight elements wide. */
  edges: { A: Edges; B: Edges; R: Edges; Y: Edges };
  /** Depth of the rider; 0 without one. */
  rider: number;
  /** Whether workgroups share the depth of some tiles. */
  shares: boolean;
  /** Which sides of the product are whole tiles. */
  whole: { m: boolean; n: boolean; k: boolean };
  C: string;
  Y: string;
  /** `emulated` computes without matrix units, for tests. */
  units: 'matrix' | 'emulated';
}

/** Chunks of a row of a tile that the workgroup fetches together: the whole row, or what lies in one panel. */
function chunksAcross(inner: number, panels: boolean): number {
  const row = inner / 8;
  return panels || INVOCATIONS % row !== 0 ? PANEL_COLUMNS / 8 : row;
}

/** The kernel for a product. */
export function kernelOf(choice: Choice) {
  const { transposeA, transposeB, panelsA, panelsB, alone, edges, rider, shares, whole, C, Y, units } = choice;
  const { TM, TN, WM, WN } = choice.shape;
  const passes = (side: number) => Math.max(1, (side * TILE_DEPTH) / 8 / INVOCATIONS);
  const turnsB = transposeB && !panelsB;
  const [aInner, bInner] = [transposeA ? TM : TILE_DEPTH, turnsB ? TILE_DEPTH : TN];
  return {
    kernel: 'gemm_matrix.wgsl',
    defines: {
      UNITS: units,
      UNROLL: units === 'matrix' ? 'yes' : 'no',
      TM,
      TN,
      WM,
      WN,
      FM: WM / 16,
      FN: WN / 16,
      A_INNER: aInner,
      B_INNER: bInner,
      A_ACROSS: chunksAcross(aInner, panelsA),
      B_ACROSS: chunksAcross(bInner, panelsB),
      A_DIRECTION: transposeA ? '_transposed' : '',
      B_DIRECTION: turnsB ? '_transposed' : '',
      A_PASSES: passes(TM),
      B_PASSES: passes(TN),
      A_ROWS: panelsA ? 0 : 1,
      A_PANELS: panelsA ? 1 : 0,
      B_PANELS: String(panelsB),
      B_ZEROS: String(panelsB && !transposeA),
      ACCESS: alone ? 'read_write' : 'read',
      M_WHOLE: String(whole.m),
      N_WHOLE: String(whole.n),
      K_EDGES: whole.k ? 'whole' : 'ragged',
      A_EDGES: edges.A,
      A_UNIT: UNITS[edges.A],
      B_EDGES: edges.B,
      B_UNIT: UNITS[edges.B],
      R_EDGES: edges.R,
      R_UNIT: UNITS[edges.R],
      Y_EDGES: edges.Y,
      RIDER: rider === 0 ? 'no' : rider <= TILE_DEPTH ? 'one' : 'many',
      R_STEPS: Math.ceil(Math.min(rider, TILE_DEPTH) / 16),
      SHARES: String(shares),
      C,
      Y,
    },
  };
}

/** Adds what workgroups have left that shared the depth of tiles. */
export const splitKernel = ({ TM, TN }: TileShape, EDGES: Edges, C: string, Y: string) => ({
  kernel: 'gemm_split.wgsl',
  defines: { TM, TN, EDGES, C, Y },
});

/** Tiles that are combined with all outputs: one with whole and one with less than whole loads for each invocation. */
const MIXED: readonly TileName[] = ['128x160', '16x128'];
const ADDENDS = ['none', 'f32', 'f16', 'own_f32'];

/** Kernel variants of this file: every include in every place, but not every mixture of them. */
export const variants: KernelVariant[] = [
  ...TILE_NAMES.flatMap((tile) =>
    combinations({
      a: ['plain', 'transposed'],
      b: ['plain', 'transposed'],
      panels: ['', 'a', 'b', 'ab'],
      edges: ['aligned', 'ragged'],
      rider: ['0', '16', '32', '48'],
      shares: ['true', 'false'],
      output: ['none f32', 'none f16', 'f32 f32', 'f16 f32', 'own_f32 f32', 'f16 f16'],
    })
      .map((variant) => ({
        ...variant,
        panelsA: variant.panels.includes('a'),
        panelsB: variant.panels.includes('b'),
        transposeA: variant.a !== 'plain',
      }))
      .filter(({ panelsB, edges }) => !panelsB || edges === 'aligned')
      .filter(({ rider, transposeA }) => rider === '0' || !transposeA)
      // What has nothing to do with the output is combined with one.
      .filter(({ shares, rider, output }) => output === 'none f16' || (shares === 'false' && Number(rider) <= 16))
      .filter(
        ({ shares, rider, edges }) => shares === 'false' || (rider === '16' && edges === 'aligned') || rider === '0',
      )
      .filter(({ panelsA, rider, output }) => !panelsA || (rider !== '48' && /^(none f16|own_f32)/.test(output)))
      .filter(({ panelsB, b }) => !panelsB || b === 'plain')
      .filter(({ output }) => MIXED.includes(tile) || /^(none f16|own_f32)/.test(output))
      // 16 and 32 differ by a number of turns.
      .filter(({ rider }) => MIXED.includes(tile) || rider !== '32')
      .filter((variant) => suits(tile, { ...variant, batch: 1, m: TILES[tile].TM, n: TILES[tile].TN, k: TILE_DEPTH }))
      .map(({ transposeA, b, panelsA, panelsB, edges, rider, shares, output }) => {
        const [C, Y] = output.split(' ');
        const e = edges as Edges;
        const even = e === 'aligned';
        const kernel = kernelOf({
          shape: TILES[tile],
          transposeA,
          transposeB: b !== 'plain',
          panelsA,
          panelsB,
          alone: Y === 'f32',
          edges: { A: panelsA ? 'aligned' : e, B: e, R: e, Y: e },
          rider: Number(rider),
          shares: shares === 'true',
          whole: { m: even, n: even, k: even },
          C,
          Y,
          units: 'matrix',
        });
        return { ...kernel, bindings: bindingsOf(kernel.defines), requires: 'subgroup-matrix' as const };
      }),
  ),
  ...combinations({ tile: TILE_NAMES, EDGES: ['aligned', 'ragged'], C: ADDENDS, Y: ['f32', 'f16'] })
    .filter(({ C, Y }) => C !== 'own_f32' || Y === 'f32')
    .map(({ tile, EDGES, C, Y }) => ({
      ...splitKernel(TILES[tile as TileName], EDGES as Edges, C, Y),
      bindings: ['parts', ...bindingsOf({ C }).slice(2, -1), 'y'],
    })),
];

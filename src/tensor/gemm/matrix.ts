import type { Capabilities, MatrixShape } from '../capabilities.ts';
import { contiguous } from '../copy.ts';
import { Tensor } from '../tensor.ts';
import { combinations, type KernelVariant } from '../variants.ts';
import { PANEL_COLUMNS, TILE_DEPTH } from './panels.ts';
import { addendAccess, bindingsOf, type Product, shapeOf } from './product.ts';
import {
  defaultTiling,
  depthTiles,
  evenSplits,
  keyOf,
  serves,
  suits,
  TILE_NAMES,
  TILES,
  type TileName,
  type TileShape,
  type Tiling,
  wholeTiles,
} from './tilings.ts';

const INVOCATIONS = 128;
/** Rows of `rows` times `width` elements, padded by 16 bytes: of f16 a tile of an operand, of f32 a subgroup's results. */
const paddedBytes = (rows: number, width: number, size: number) => rows * (width * size + 16);

/** Workgroup memory of a tile shape: tiles of both operands, as large as either direction makes them, or results. */
function workgroupBytes({ TM, TN, WN }: TileShape): number {
  const operand = (side: number) => Math.max(paddedBytes(side, TILE_DEPTH, 2), paddedBytes(TILE_DEPTH, side, 2));
  return Math.max(operand(TM) + operand(TN), paddedBytes(4 * 16, WN, 4));
}

/**
 * What the largest tile shape takes. An NVIDIA H200 has 48 KiB for all workgroups of a core together: with more than
 * 24,576 bytes each workgroup is alone there and waits at its own barriers, at half the speed.
 */
export const WORKGROUP_BYTES = Math.max(...Object.values(TILES).map(workgroupBytes));

type Edges = 'aligned' | 'ragged';
/** What kernels count places of such operands in. */
const UNITS: Record<Edges, number> = { aligned: 8, ragged: 1 };

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

function kernelOf(choice: Choice) {
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
      SHARES: shares ? 'yes' : 'no',
      SHARES_TILES: String(shares),
      C,
      Y,
    },
  };
}

/** Adds what workgroups have left that shared the depth of tiles. */
const splitKernel = ({ TM, TN }: TileShape, EDGES: Edges, C: string, Y: string) => ({
  kernel: 'gemm_split.wgsl',
  defines: { TM, TN, EDGES, C, Y },
});

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
      SHARES: ['yes', 'no'],
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
      .filter(({ SHARES, rider, output }) => output === 'none f16' || (SHARES === 'no' && Number(rider) <= 16))
      .filter(({ SHARES, rider, edges }) => SHARES === 'no' || (rider === '16' && edges === 'aligned') || rider === '0')
      .filter(({ panelsA, rider, output }) => !panelsA || (rider !== '48' && /^(none f16|own_f32)/.test(output)))
      .filter(({ panelsB, b }) => !panelsB || b === 'plain')
      .filter((variant) => suits(tile, { ...variant, batch: 1, m: TILES[tile].TM, n: TILES[tile].TN, k: TILE_DEPTH }))
      .map(({ transposeA, b, panelsA, panelsB, edges, rider, SHARES, output }) => {
        const [C, Y] = output.split(' ');
        const e = edges as Edges;
        const even = e === 'aligned';
        return {
          ...kernelOf({
            shape: TILES[tile],
            transposeA,
            transposeB: b !== 'plain',
            panelsA,
            panelsB,
            alone: Y === 'f32',
            edges: { A: panelsA ? 'aligned' : e, B: e, R: e, Y: e },
            rider: Number(rider),
            shares: SHARES === 'yes',
            whole: { m: even, n: even, k: even },
            C,
            Y,
            units: 'matrix',
          }),
          bindings: bindingsOf({ C, RIDER: rider === '0' ? 'no' : 'yes', SHARES }),
          requires: 'subgroup-matrix' as const,
        };
      }),
  ),
  ...combinations({ tile: TILE_NAMES, EDGES: ['aligned', 'ragged'], C: ADDENDS, Y: ['f32', 'f16'] })
    .filter(({ C, Y }) => C !== 'own_f32' || Y === 'f32')
    .map(({ tile, EDGES, C, Y }) => ({
      ...splitKernel(TILES[tile as TileName], EDGES as Edges, C, Y),
      bindings: ['parts', ...bindingsOf({ C }).slice(2, -1), 'y'],
    })),
];

/** The matrix-unit shape that the kernel is written for, if this adapter has it and subgroups of 32. */
export function usableMatrixShape({ matrixShapes, subgroupSizes, limits }: Capabilities): MatrixShape | undefined {
  if (limits.maxComputeWorkgroupStorageSize < WORKGROUP_BYTES) return undefined;
  if (subgroupSizes[0] !== 32 || subgroupSizes[1] !== 32) return undefined;
  return matrixShapes.find(
    ({ M, N, K, component, result }) => M === 16 && N === 16 && K === 16 && component === 'f16' && result === 'f32',
  );
}

const edgesOf = (...widths: number[]): Edges => (widths.every((width) => width % 8 === 0) ? 'aligned' : 'ragged');

const turned = ({ a, b }: { a: Tensor; b: Tensor }) => ({ a, b: contiguous(b.transpose()) });

const areApart = (tensors: readonly Tensor[]) => new Set(tensors.map(({ storage }) => storage)).size === tensors.length;

/** The tiling that was measured to be the fastest for such a product on this adapter, or the default. */
function tilingFor(product: Product): Tiling {
  const { capabilities, productWatch } = product.a.device;
  if (productWatch === null && capabilities.tilings.size === 0) return defaultTiling(product);
  const shape = shapeOf(product);
  productWatch?.(shape);
  const tuned = capabilities.tilings.get(keyOf(shape));
  return tuned && serves(tuned, product) ? tuned : defaultTiling(product);
}

/**
 * Launches the matrix-unit kernel for f16 operands; see kernels/gemm_matrix.wgsl.
 *
 * @param tiling tried by the tuner; the one kept for such products, or the default, if left out
 */
export function matrixProduct(product: Product, units: 'matrix' | 'emulated', tiling = tilingFor(product)): void {
  const { a, transposeA, b, transposeB, panelsA, panelsB, alpha, y, column, batch, m, n, k } = product;
  const { device } = a;
  const shape = TILES[tiling.tile];
  const r = product.rider?.a.shape[1] ?? 0;
  // Panels have one direction, and the rider goes the same way: [r, n].
  const turns = panelsB && transposeB;
  const [rows, columns] = [Math.ceil(m / shape.TM), Math.ceil(n / shape.TN)];
  const { share, splits } = evenSplits(k, tiling.splits);
  const groups = rows * columns;
  const whole = wholeTiles({ ...tiling, splits }, product);
  const shared = groups - whole;
  const output = edgesOf(n, y.shape[2], column);
  const { C, bindings } = addendAccess(product);
  device.scope(() => {
    const operands = r === 0 ? null : product.rider;
    const rider = operands && turns ? turned(operands) : operands;
    const parts = shared > 0 ? Tensor.empty(device, [batch * shared * splits, shape.TM, shape.TN]) : null;
    const bound = {
      a,
      b,
      ...(rider ? { rider_a: rider.a, rider_b: rider.b } : undefined),
      ...bindings,
      y,
      ...(parts ? { parts } : undefined),
    };
    const common = { m, n, columns, rows, whole, splits, y_row: y.shape[2], y_start: column, alpha };
    device.run({
      ...kernelOf({
        shape,
        transposeA,
        transposeB,
        panelsA,
        panelsB,
        alone: areApart(Object.values(bound)),
        edges: {
          A: panelsA ? 'aligned' : edgesOf(transposeA ? m : k),
          B: panelsB ? 'aligned' : edgesOf(transposeB ? k : n),
          R: edgesOf(r, transposeB && !turns ? 0 : n),
          Y: output,
        },
        rider: r,
        shares: parts !== null,
        whole: { m: m % shape.TM === 0, n: n % shape.TN === 0, k: k > 0 && k % TILE_DEPTH === 0 },
        C,
        Y: y.dtype,
        units,
      }),
      bindings: bound,
      params: {
        ...common,
        k,
        rider: r,
        tiles: depthTiles(k),
        tiles_in_split: share,
        a_batch: a.shape[0] === 1 ? 0 : m * k,
        b_batch: b.shape[0] === 1 ? 0 : k * n,
      },
      workgroups: [whole + shared * splits, 1, batch],
    });
    if (!parts) return;
    device.run({
      ...splitKernel(shape, output, C, y.dtype),
      bindings: { parts, ...bindings, y },
      params: { ...common, batch },
      workgroups: Math.ceil(parts.size / splits / 8 / 64),
    });
  });
}

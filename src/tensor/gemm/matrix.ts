import type { Capabilities, MatrixShape } from '../capabilities.ts';
import { combinations, type KernelVariant } from '../variants.ts';
import { addendAccess, bindingsOf, type Product } from './product.ts';

/** Depth of a tile; as in kernels/gemm_matrix.wgsl. */
const DEPTH = 32;
/** Results along each side of a workgroup: large where that still gives every core something to do. */
const TILES = [128, 64] as const;
const ENOUGH_WORKGROUPS = 96;
/** Two padded tiles and four fragments of results. */
const WORKGROUP_BYTES = 24576;

/** Kernel variants of this file. */
export const variants: KernelVariant[] = TILES.flatMap((tile) =>
  combinations({
    transposeA: ['yes', ''],
    transposeB: ['yes', ''],
    A_LOADS: ['aligned', 'ragged'],
    B_LOADS: ['aligned', 'ragged'],
    C: ['f32', 'f16', 'own_f32'],
    Y: ['f32', 'f16'],
  })
    .filter(({ C, Y }) => C !== 'own_f32' || Y === 'f32')
    .map(({ transposeA, transposeB, ...rest }) => ({
      kernel: 'gemm_matrix.wgsl',
      defines: { ...rest, ...layout(tile, transposeA !== '', transposeB !== '') },
      bindings: bindingsOf(rest),
      requires: 'subgroup-matrix',
    })),
);

/** How the tiles lie in workgroup memory, which is how the operands lie in storage. */
function layout(tile: number, transposeA: boolean, transposeB: boolean): Record<string, string> {
  return {
    TILE: String(tile),
    A_INNER: String(transposeA ? tile : DEPTH),
    B_INNER: String(transposeB ? DEPTH : tile),
    A_MAJOR: transposeA ? 'col_major' : 'row_major',
    B_MAJOR: transposeB ? 'col_major' : 'row_major',
  };
}

/** The matrix-unit shape that the kernel is written for, if this adapter has it and subgroups of 32. */
export function usableMatrixShape({ matrixShapes, subgroupSizes, limits }: Capabilities): MatrixShape | undefined {
  if (limits.maxComputeWorkgroupStorageSize < WORKGROUP_BYTES) return undefined;
  if (subgroupSizes[0] !== 32 || subgroupSizes[1] !== 32) return undefined;
  return matrixShapes.find(
    ({ M, N, K, component, result }) => M === 16 && N === 16 && K === 16 && component === 'f16' && result === 'f32',
  );
}

/** Launches the matrix-unit kernel for f16 operands; see kernels/gemm_matrix.wgsl. */
export function matrixProduct(product: Product): void {
  const { a, transposeA, b, transposeB, alpha, y, column, batch, m, n, k } = product;
  const { C, bindings, has_addend } = addendAccess(product);
  const tile = TILES.find((side) => Math.ceil(m / side) * Math.ceil(n / side) * batch >= ENOUGH_WORKGROUPS) ?? TILES[1];
  const [rows, columns] = [Math.ceil(m / tile), Math.ceil(n / tile)];
  const loads = (width: number) => (width % 8 === 0 ? 'aligned' : 'ragged');
  a.device.run({
    kernel: 'gemm_matrix.wgsl',
    defines: {
      A_LOADS: loads(transposeA ? m : k),
      B_LOADS: loads(transposeB ? k : n),
      C,
      Y: y.dtype,
      ...layout(tile, transposeA, transposeB),
    },
    bindings: { a, b, ...bindings, y },
    params: {
      m,
      n,
      k,
      a_batch: a.shape[0] === 1 ? 0 : m * k,
      b_batch: b.shape[0] === 1 ? 0 : k * n,
      y_row: y.shape[2],
      y_start: column,
      has_addend,
      alpha,
      columns,
      rows,
    },
    workgroups: [rows * columns, 1, batch],
  });
}

import type { Capabilities } from './capabilities.ts';
import type { DType } from './dtype.ts';
import { usableMatrixShape } from './gemm/matrix.ts';
import { WORKGROUP_BYTES } from './gemm/matrix-kernel.ts';

/**
 * `matrix`: matrix units; `emulated`: the same kernels without them, for tests; `tiled`: tiles in workgroup memory, for
 * other GPUs, sizes and dtypes; `plain`: a thread a row, for software drivers.
 */
export type AttentionPath = 'matrix' | 'emulated' | 'tiled' | 'plain';

/** Head sizes that the kernels for matrix units are written for, and workgroup memory that is enough for their smallest tiles. */
export const MATRIX_WIDTHS: readonly number[] = [64, 128];
const MATRIX_BYTES = 32768;

/**
 * The attention kernels for heads of `width` elements on an adapter.
 *
 * A software driver takes half a minute to compile a tiled one.
 */
export function attentionPath(capabilities: Capabilities, dtype: DType, width: number): AttentionPath {
  if (capabilities.software) return 'plain';
  const matrix =
    dtype === 'f16' &&
    MATRIX_WIDTHS.includes(width) &&
    usableMatrixShape(capabilities) !== undefined &&
    capabilities.limits.maxComputeWorkgroupStorageSize >= MATRIX_BYTES;
  return matrix ? 'matrix' : 'tiled';
}

const ATTENTION: Record<AttentionPath, string> = {
  matrix: `matrix units for f16 heads of ${MATRIX_WIDTHS.join(' or ')}, else tiles in workgroup memory`,
  emulated: 'matrix units in plain WGSL',
  tiled: 'tiles in workgroup memory',
  plain: 'a thread a row',
};

/** Which kernels run for each kind of work on this adapter, in words: for `doctor`. */
export function kernelPaths(capabilities: Capabilities): [string, string][] {
  const shape = usableMatrixShape(capabilities);
  return [
    [
      'f16 products',
      shape
        ? `matrix units ${shape.M}x${shape.N}x${shape.K}, sums in ${shape.result}`
        : `portable: ${withoutMatrixUnits(capabilities)}`,
    ],
    ['f32 products', 'portable: matrix units take f16 alone'],
    ['NF4 weights', 'unpacked before each product'],
    ['attention', ATTENTION[attentionPath(capabilities, 'f16', MATRIX_WIDTHS[0])]],
    [
      'training',
      capabilities.software ? '--precision f32 is faster here than mixed' : '--precision mixed (the default) is faster',
    ],
  ];
}

/** Why an adapter's matrix units are not used. */
export function withoutMatrixUnits({ matrixShapes, subgroupSizes }: Capabilities): string {
  if (matrixShapes.length === 0) return 'the driver offers no matrix units';
  if (subgroupSizes[0] !== 32 || subgroupSizes[1] !== 32) return 'the matrix-unit kernel needs subgroups of 32';
  return `the matrix-unit kernel needs shape 16x16x16, f16 -> f32, and ${WORKGROUP_BYTES / 1000} kB of workgroup memory`;
}

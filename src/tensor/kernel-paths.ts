import type { Capabilities } from './capabilities.ts';
import { usableMatrixShape } from './gemm/matrix.ts';

/** `tiled`: tiles in workgroup memory, for GPUs; `plain`: a thread a row, for software drivers. */
export type AttentionPath = 'tiled' | 'plain';

/** The attention kernels for an adapter: a software driver takes half a minute to compile a tiled one. */
export function attentionPath({ software }: Capabilities): AttentionPath {
  return software ? 'plain' : 'tiled';
}

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
    ['attention', attentionPath(capabilities) === 'tiled' ? 'tiles in workgroup memory' : 'a thread a row'],
    [
      'training',
      capabilities.software ? '--precision f32 is faster here than mixed' : '--precision mixed (the default) is faster',
    ],
  ];
}

function withoutMatrixUnits({ matrixShapes, subgroupSizes }: Capabilities): string {
  if (matrixShapes.length === 0) return 'the driver offers no matrix units';
  if (subgroupSizes[0] !== 32 || subgroupSizes[1] !== 32) return 'the matrix-unit kernel needs subgroups of 32';
  return 'the matrix-unit kernel needs shape 16x16x16, f16 -> f32, and 24 kB of workgroup memory';
}

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
    ['f16 products', shape ? `matrix units ${shape.M}x${shape.N}x${shape.K}` : 'portable'],
    ['f32 products', 'portable'],
    ['attention', attentionPath(capabilities) === 'tiled' ? 'tiles in workgroup memory' : 'a thread a row'],
  ];
}

import type { Capabilities } from './capabilities.ts';
import { usableMatrixShape } from './gemm/matrix.ts';

/** Which kernels run for each kind of work on this adapter, in words: for `doctor`. */
export function kernelPaths(capabilities: Capabilities): [string, string][] {
  const shape = usableMatrixShape(capabilities);
  return [
    ['f16 products', shape ? `matrix units ${shape.M}x${shape.N}x${shape.K}` : 'portable'],
    ['f32 products', 'portable'],
    ['attention', 'portable flash kernels'],
  ];
}

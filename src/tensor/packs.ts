import type { DType } from './dtype.ts';

/** Threads in a workgroup of the kernels that move packs. */
const THREADS = 256;

/** Times four elements that a thread moves: 16 bytes of the widest of these dtypes; see kernels/include/pack.wgsl. */
export function packQuads(...dtypes: readonly DType[]): 1 | 2 {
  return dtypes.every((dtype) => dtype === 'f16') ? 2 : 1;
}

/** Workgroups for a thread a pack. */
export function packGroups(elements: number, quads: 1 | 2): number {
  return Math.ceil(elements / (4 * quads * THREADS));
}

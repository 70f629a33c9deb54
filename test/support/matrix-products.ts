import type { GemmPath } from '../../src/tensor/gemm/gemm.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { testDevice } from './device.ts';
import { normalTensor } from './normal-tensor.ts';

const device = await testDevice();
export const units = usableMatrixShape(device.capabilities) !== undefined;
/**
 * Real matrix units where there are some, else the same kernel without them: of that a few variants, since a software
 * driver compiles each for many seconds.
 */
export const path: GemmPath = units ? 'matrix' : 'emulated';

export const random = (seed: number, shape: number[], dtype: 'f32' | 'f16' = 'f16') =>
  normalTensor(device, seed, shape, dtype);

import type { Device } from '../../src/tensor/device.ts';
import { type Shape, sizeOf } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from './check-op.ts';

/** A tensor of seeded normal numbers. */
export function normalTensor(device: Device, seed: number, shape: Shape, dtype: 'f32' | 'f16' = 'f32'): Tensor {
  return Tensor.from(device, normals(sizeOf(shape), seed), shape, dtype);
}

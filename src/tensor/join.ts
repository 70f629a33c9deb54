import { contiguous } from './copy.ts';
import { sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

const FLOATS = ['f32', 'f16'];

export const variants: KernelVariant[] = [
  ...combinations({ A: FLOATS, B: FLOATS, Y: FLOATS }).map((defines) => ({
    kernel: 'join.wgsl',
    entry: 'concat',
    defines,
    bindings: ['a', 'b', 'y'],
  })),
  ...FLOATS.map((dtype) => ({
    kernel: 'join.wgsl',
    entry: 'pad',
    defines: { A: dtype, B: dtype, Y: dtype },
    bindings: ['a', 'y'],
  })),
];

/** Two tensors one after the other along a dimension; sizes of the others must agree, f32 if the dtypes differ. */
export function concatPair(a: Tensor, b: Tensor, dim: number): Tensor {
  const middle = a.shape[dim] + b.shape[dim];
  const dtype = a.dtype === b.dtype ? a.dtype : 'f32';
  const y = Tensor.empty(a.device, a.shape.toSpliced(dim, 1, middle), dtype);
  a.device.run({
    kernel: 'join.wgsl',
    entry: 'concat',
    defines: { A: a.dtype, B: b.dtype, Y: dtype },
    bindings: { a: contiguous(a), b: contiguous(b), y },
    params: { middle, a_middle: a.shape[dim], before: 0, inner: sizeOf(a.shape.slice(dim + 1)), count: y.size },
    workgroups: Math.ceil(y.size / 128),
  });
  return y;
}

/** `a` at rows `before …` of a dimension that has `middle` rows in the result, zeros elsewhere. */
export function padDimension(a: Tensor, dim: number, before: number, middle: number): Tensor {
  const y = Tensor.empty(a.device, a.shape.toSpliced(dim, 1, middle), a.dtype);
  a.device.run({
    kernel: 'join.wgsl',
    entry: 'pad',
    defines: { A: a.dtype, B: a.dtype, Y: a.dtype },
    bindings: { a: contiguous(a), y },
    params: { middle, a_middle: a.shape[dim], before, inner: sizeOf(a.shape.slice(dim + 1)), count: y.size },
    workgroups: Math.ceil(y.size / 128),
  });
  return y;
}

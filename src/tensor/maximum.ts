import { contiguous } from './copy.ts';
import { type Shape, sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';
import type { KernelVariant } from './variants.ts';

export const variants: KernelVariant[] = ['rows', 'backward'].flatMap((entry) =>
  ['f32', 'f16'].map((dtype) => ({
    kernel: 'maximum.wgsl',
    entry,
    defines: { X: dtype },
    bindings: ['x', 'y', 'places'],
  })),
);

function sizes(shape: Shape, dim: number) {
  return { outer: sizeOf(shape.slice(0, dim)), middle: shape[dim], inner: sizeOf(shape.slice(dim + 1)) };
}

/**
 * The maximum over one dimension (kept with size 1) and the place (u32) of the first maximal element; NaN if there
 * is one.
 */
export function maxDimension(x: Tensor, dim: number): { values: Tensor; places: Tensor } {
  const shape = x.shape.toSpliced(dim, 1, 1);
  const values = Tensor.empty(x.device, shape, x.dtype);
  const places = Tensor.empty(x.device, shape, 'u32');
  x.device.run({
    kernel: 'maximum.wgsl',
    entry: 'rows',
    defines: { X: x.dtype },
    bindings: { x: contiguous(x), y: values, places },
    params: sizes(x.shape, dim),
    workgroups: Math.ceil(values.size / 2),
  });
  return { values, places };
}

/** `gradient` at the places that {@link maxDimension} found in a tensor of `shape`, zeros elsewhere. */
export function maxGradient(gradient: Tensor, places: Tensor, shape: Shape, dim: number): Tensor {
  const y = Tensor.empty(gradient.device, shape, gradient.dtype);
  gradient.device.run({
    kernel: 'maximum.wgsl',
    entry: 'backward',
    defines: { X: gradient.dtype },
    bindings: { x: contiguous(gradient), y, places },
    params: sizes(shape, dim),
    workgroups: Math.ceil(y.size / 128),
  });
  return y;
}

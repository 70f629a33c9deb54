import { contiguous } from './copy.ts';
import { BYTES } from './dtype.ts';
import { sharedRowParts } from './parts.ts';
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

interface Layout {
  outer: number;
  middle: number;
  inner: number;
  /** Whether the dimension has to go last, so that a tensor larger than one binding can be cut into rows. */
  last: boolean;
}

function layoutOf({ device }: Tensor, shape: Shape, dim: number): Layout {
  const [outer, middle, inner] = [sizeOf(shape.slice(0, dim)), shape[dim], sizeOf(shape.slice(dim + 1))];
  const fits = sizeOf(shape) * BYTES.u32 <= device.capabilities.maxBindingBytes - 16;
  return { outer, middle, inner, last: !fits && inner > 1 };
}

/** `large` has outer · middle · inner elements in the order of the layout, `small` and `places` outer · inner. */
function launch(entry: 'rows' | 'backward', layout: Layout, large: Tensor, small: Tensor, places: Tensor): void {
  const { outer, middle, inner, last } = layout;
  const [rows, width] = last ? [outer * inner, 1] : [outer, inner];
  const tensors = [large.view([rows, middle, width]), small.view([rows, width]), places.view([rows, width])];
  for (const part of sharedRowParts(tensors)) {
    const [whole, reduced, found] = part.rows;
    const [x, y] = entry === 'rows' ? [whole, reduced] : [reduced, whole];
    y.device.run({
      kernel: 'maximum.wgsl',
      entry,
      defines: { X: y.dtype },
      bindings: { x, y, places: found },
      params: { outer: whole.shape[0], middle, inner: width },
      workgroups: Math.ceil(y.size / (entry === 'rows' ? 2 : 128)),
    });
  }
}

/**
 * The maximum over one dimension (kept with size 1) and the place (u32) of the first maximal element; NaN if there
 * is one.
 *
 * @throws UserError when a few rows along the dimension exceed one binding
 */
export function maxDimension(x: Tensor, dim: number): { values: Tensor; places: Tensor } {
  const shape = x.shape.toSpliced(dim, 1, 1);
  const values = Tensor.empty(x.device, shape, x.dtype);
  const places = Tensor.empty(x.device, shape, 'u32');
  const layout = layoutOf(x, x.shape, dim);
  const { outer, middle, inner, last } = layout;
  const dense = contiguous(x);
  const rows = last ? contiguous(dense.view([outer, middle, inner]).transpose()) : dense;
  launch('rows', layout, rows, values, places);
  return { values, places };
}

/** `gradient` at the places that {@link maxDimension} found in a tensor of `shape`, zeros elsewhere. */
export function maxGradient(gradient: Tensor, places: Tensor, shape: Shape, dim: number): Tensor {
  const layout = layoutOf(gradient, shape, dim);
  const { outer, middle, inner, last } = layout;
  const y = Tensor.empty(gradient.device, shape, gradient.dtype);
  launch('backward', layout, y, contiguous(gradient), places);
  return last ? contiguous(y.view([outer, inner, middle]).transpose()).view(shape) : y;
}

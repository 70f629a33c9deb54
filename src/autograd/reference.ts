import type { Shape } from '../tensor/shape.ts';
import { sizeOf } from '../tensor/shape.ts';

/** A dense array in double precision: what operations' references compute with. */
export interface Reference {
  shape: Shape;
  data: Float64Array;
}

/** A reference array with elements `fill(i)` in row-major order. */
export function referenceOf(shape: Shape, fill: (index: number) => number = () => 0): Reference {
  return { shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => fill(i)) };
}

/** Index into an array of shape `from` that broadcasts to `shape`, for row-major element i of `shape`. */
export function broadcastIndex(i: number, shape: Shape, from: Shape): number {
  let index = 0;
  let stride = 1;
  let rest = i;
  for (let d = shape.length - 1; d >= 0; d--) {
    const at = rest % shape[d];
    rest = Math.floor(rest / shape[d]);
    const n = from[d - shape.length + from.length] ?? 1;
    if (n !== 1) index += at * stride;
    stride *= n;
  }
  return index;
}

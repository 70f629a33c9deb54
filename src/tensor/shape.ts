import { complain } from '../errors.ts';

/** Sizes of the dimensions, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** Number of elements of a shape. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, d) => n === b[d]);
}

/** Checks that dimensions are whole and not negative. */
export function assertShape(where: string, shape: Shape): void {
  if (shape.some((n) => !Number.isInteger(n) || n < 0))
    throw complain({
      where,
      got: `shape [${shape}]`,
      expected: 'whole, non-negative sizes',
      remedy: 'pass a shape of whole numbers',
    });
}

/**
 * The shape that NumPy's broadcasting gives for two shapes: aligned at the last dimension, sizes equal or 1.
 *
 * @throws UserError naming `where` when two sizes differ and neither is 1
 */
export function broadcastShapes(where: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, d) => {
    const x = a[d - rank + a.length] ?? 1;
    const y = b[d - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      throw complain({
        where,
        got: `shapes [${a}] and [${b}]`,
        expected: 'sizes that are equal or 1, counted from the last dimension',
        remedy: 'reshape or slice one operand',
      });
    return x === 1 ? y : x;
  });
}

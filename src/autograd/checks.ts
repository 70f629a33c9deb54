import { complain } from '../errors.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** @throws UserError unless every tensor's dtype is among `allowed` */
export function checkDtypes(name: string, tensors: readonly Tensor[], allowed: readonly DType[]): void {
  for (const [i, tensor] of tensors.entries())
    if (!allowed.includes(tensor.dtype))
      throw complain({
        where: name,
        got: `dtype ${tensor.dtype} for input ${i}`,
        expected: allowed.join(' or '),
        remedy: 'cast it first',
      });
}

/** @throws UserError when a shape has more than `most` dimensions */
export function checkRank(name: string, shape: Shape, most: number): void {
  if (shape.length > most)
    throw complain({
      where: name,
      got: `shape [${shape}]`,
      expected: `at most ${most} dimensions`,
      remedy: 'merge dimensions with view()',
    });
}

/**
 * Checks a shape against a pattern; names stand for sizes that must agree wherever they appear.
 *
 * @param sizes sizes bound so far by name; extended by this call
 * @throws UserError naming the operation, the input and the pattern
 */
export function checkShape(
  name: string,
  input: string,
  shape: Shape,
  pattern: readonly (string | number)[],
  sizes: Record<string, number> = {},
): Record<string, number> {
  const fits =
    shape.length === pattern.length &&
    pattern.every((want, d) => {
      if (typeof want === 'number') return shape[d] === want;
      sizes[want] ??= shape[d];
      return shape[d] === sizes[want];
    });
  if (!fits) {
    const known = Object.entries(sizes).map(([key, n]) => `${key}=${n}`);
    throw complain({
      where: name,
      got: `${input} of shape [${shape}]`,
      expected: `[${pattern.join(', ')}]${known.length ? ` with ${known.join(', ')}` : ''}`,
      remedy: 'reshape it or pass matching operands',
    });
  }
  return sizes;
}

/** @throws UserError unless `dim` is a dimension of the shape */
export function checkDimension(name: string, shape: Shape, dim: number): void {
  if (!(dim in shape))
    throw complain({
      where: name,
      got: `dimension ${dim} of shape [${shape}]`,
      expected: shape.length ? `a number from 0 to ${shape.length - 1}` : 'a tensor with dimensions',
      remedy: 'count dimensions from 0, outermost first',
    });
}

import { castTo, contiguous } from '../tensor/copy.ts';
import { addInto, mapBinary } from '../tensor/elementwise.ts';
import { sumDimension } from '../tensor/reduce.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Sums a gradient over the dimensions along which its input was broadcast; sums are f32, whatever the gradient is. */
export function unbroadcast(gradient: Tensor, shape: Shape): Tensor {
  let result = gradient;
  const extra = gradient.shape.length - shape.length;
  for (let d = 0; d < gradient.shape.length; d++)
    if (gradient.shape[d] !== 1 && (d < extra || shape[d - extra] === 1)) result = sumDimension(result, d, 1, 'f32');
  return extra > 0 ? result.view(result.shape.slice(extra)) : result;
}

/** Sum of two gradients for the same tensor. */
export function sumOf(a: Tensor, b: Tensor): Tensor {
  return mapBinary('gradient sum', 'a + b', a, b);
}

/** Adds a gradient to `leaf.grad` (f32), which is made on first use and lives until the optimiser clears it. */
export function accumulate(leaf: Tensor, gradient: Tensor): void {
  if (leaf.grad) {
    addInto(leaf.grad, gradient);
    return;
  }
  const own = leaf.newGradient();
  leaf.device.copy(contiguous(castTo(gradient, 'f32')), own);
  leaf.grad = leaf.device.persist(own);
}

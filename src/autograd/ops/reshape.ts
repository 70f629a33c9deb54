import { complain } from '../../errors.ts';
import { contiguous, copyOf } from '../../tensor/copy.ts';
import { type Shape, sizeOf, stridesOf } from '../../tensor/shape.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';

/** The same elements in row-major order in another shape: no copy when x is contiguous. */
export const reshapeOperation = operation<Shape>({
  name: 'reshape',
  cheap: true,
  check([x], shape) {
    if (sizeOf(shape) !== x.size)
      throw complain({
        where: 'reshape',
        got: `shape [${shape}] for a tensor [${x.shape}]`,
        expected: `${x.size} elements`,
        remedy: 'pass a shape of as many elements',
      });
  },
  forward: ([x], shape) => ({ output: (x.contiguous ? x : copyOf(x)).view(shape) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, inputs: [x] }) => [grad.view(x.shape)],
  reference: ([x], shape) => ({ shape, data: x.data }),
});

/** x in another shape of as many elements; shares x's storage when x is contiguous. */
export const reshape = (x: Tensor, shape: Shape): Tensor => apply(reshapeOperation, [x], shape);

/** The view of x, whose storage is its elements, whose dimension d is x's dimension order[d]. */
function permuted(x: Tensor, order: readonly number[]): Tensor {
  const pick = (list: readonly number[]) => order.map((d) => list[d]);
  return new Tensor(x.device, x.storage, x.dtype, pick(x.shape), { strides: pick(x.strides), offset: x.offset });
}

/** Reorders dimensions with a copy, because kernels want contiguous tensors. */
export const permuteOperation = operation<readonly number[]>({
  name: 'permute',
  cheap: true,
  check([x], order) {
    if (order.toSorted((a, b) => a - b).join() !== [...x.shape.keys()].join())
      throw complain({
        where: 'permute',
        got: `order [${order}] for a tensor [${x.shape}]`,
        expected: `each of the numbers 0 to ${x.shape.length - 1} once`,
        remedy: 'name every dimension once',
      });
  },
  forward: ([x], order) => ({ output: copyOf(permuted(x.opaque ? contiguous(x) : x, order)) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, attributes: order }) => [
    contiguous(
      permuted(
        grad,
        order.map((_, d) => order.indexOf(d)),
      ),
    ),
  ],
  reference: ([x], order) => permutedReference(x, order),
});

function permutedReference(x: Reference, order: readonly number[]): Reference {
  const shape = order.map((d) => x.shape[d]);
  const own = stridesOf(x.shape);
  const strides = stridesOf(shape);
  return referenceOf(shape, (i) => {
    const from = order.reduce((sum, d, k) => sum + (Math.floor(i / strides[k]) % shape[k]) * own[d], 0);
    return x.data[from];
  });
}

/** x with its dimensions reordered: dimension d of the result is dimension order[d] of x. */
export const permute = (x: Tensor, order: readonly number[]): Tensor => apply(permuteOperation, [x], order);

/** x with two dimensions swapped (the last two if left out), as a dense copy. */
export function transpose(x: Tensor, a = x.shape.length - 2, b = x.shape.length - 1): Tensor {
  const order = x.shape.map((_, d) => (d === a ? b : d === b ? a : d));
  return permute(x, order);
}

import { complain } from '../../errors.ts';
import { contiguous, copyOf } from '../../tensor/copy.ts';
import { concatenate, padDimension } from '../../tensor/join.ts';
import { sizeOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDimension, checkDtypes } from '../checks.ts';
import { operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';

export interface SliceRange {
  dim: number;
  start: number;
  end: number;
}

/** Rows `start … end − 1` of a dimension; the gradient is zero elsewhere. */
export const sliceOperation = operation<SliceRange>({
  name: 'slice',
  cheap: true,
  check([x], { dim, start, end }) {
    checkDtypes('slice', [x], ['f32', 'f16']);
    checkDimension('slice', x.shape, dim);
    if (!(start >= 0 && start <= end && end <= x.shape[dim]))
      throw complain({
        where: 'slice',
        got: `${start}…${end} of dimension ${dim} in [${x.shape}]`,
        expected: `a range inside 0…${x.shape[dim]}`,
        remedy: 'clamp the range',
      });
  },
  forward: ([x], { dim, start, end }) => ({ output: contiguous(x.slice(dim, start, end)) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, inputs: [x], attributes: { dim, start } }) => [padDimension(grad, dim, start, x.shape[dim])],
  reference: ([x], range) => sliced(x, range),
});

function sliced(x: Reference, { dim, start, end }: SliceRange): Reference {
  const inner = sizeOf(x.shape.slice(dim + 1));
  const rows = end - start;
  return referenceOf(x.shape.toSpliced(dim, 1, rows), (i) => {
    const row = Math.floor(i / inner) % rows;
    const outer = Math.floor(i / (inner * rows));
    return x.data[(outer * x.shape[dim] + start + row) * inner + (i % inner)];
  });
}

/** Elements start … end − 1 of dimension `dim`. */
export const slice = (x: Tensor, dim: number, start: number, end: number): Tensor =>
  apply(sliceOperation, [x], { dim, start, end });

/** Tensors one after the other along a dimension; f32 if the dtypes differ. */
export const concatOperation = operation<number>({
  name: 'concat',
  cheap: false,
  check(inputs, dim) {
    checkDtypes('concat', inputs, ['f32', 'f16']);
    checkDimension('concat', inputs[0].shape, dim);
    for (const [i, { shape }] of inputs.entries())
      if (shape.toSpliced(dim, 1).join() !== inputs[0].shape.toSpliced(dim, 1).join())
        throw complain({
          where: 'concat',
          got: `shapes [${inputs[0].shape}] and [${shape}] (inputs 0 and ${i})`,
          expected: `equal sizes but in dimension ${dim}`,
          remedy: 'reshape or slice one of them',
        });
  },
  forward: (inputs, dim) => ({ output: inputs.length === 1 ? copyOf(inputs[0]) : concatenate(inputs, dim) }),
  keeps: () => ({ inputs: [] }),
  backward({ grad, inputs, attributes: dim, needs }) {
    let at = 0;
    return inputs.map((input, i) => {
      const start = at;
      at += input.shape[dim];
      return needs[i] ? grad.slice(dim, start, at) : null;
    });
  },
  reference(inputs, dim) {
    const rows = inputs.reduce((sum, x) => sum + x.shape[dim], 0);
    const inner = sizeOf(inputs[0].shape.slice(dim + 1));
    return referenceOf(inputs[0].shape.toSpliced(dim, 1, rows), (i) => {
      let row = Math.floor(i / inner) % rows;
      const outer = Math.floor(i / (inner * rows));
      let k = 0;
      while (row >= inputs[k].shape[dim]) row -= inputs[k++].shape[dim];
      return inputs[k].data[(outer * inputs[k].shape[dim] + row) * inner + (i % inner)];
    });
  },
});

/** Tensors one after the other along dimension `dim`. */
export const concat = (tensors: readonly Tensor[], dim = 0): Tensor => apply(concatOperation, tensors, dim);

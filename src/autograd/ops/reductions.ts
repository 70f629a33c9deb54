import { complain } from '../../errors.ts';
import { castTo } from '../../tensor/copy.ts';
import { mapUnary } from '../../tensor/elementwise.ts';
import { maxDimension, maxGradient } from '../../tensor/maximum.ts';
import { sumAll, sumDimension } from '../../tensor/reduce.ts';
import { type Shape, sizeOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDimension, checkDtypes } from '../checks.ts';
import { type Operation, operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';

export interface Reduction {
  /** The dimension that goes; all of them if left out. */
  dim?: number;
  /** Keeps what was reduced as dimensions of size 1. */
  keepdim?: boolean;
}

/** Shape of the result; with all dimensions reduced it is [1], as losses are. */
function reducedShape(shape: Shape, { dim, keepdim }: Reduction): number[] {
  if (dim === undefined) return keepdim ? shape.map(() => 1) : [1];
  return keepdim ? shape.toSpliced(dim, 1, 1) : shape.toSpliced(dim, 1);
}

/** The same elements with the reduced dimensions as size 1: a shape that broadcasts to the input's. */
function keptShape(shape: Shape, { dim }: Reduction): number[] {
  return dim === undefined ? shape.map(() => 1) : shape.toSpliced(dim, 1, 1);
}

/** Elements of x that go into element i of the result, in order. */
function* terms(x: Reference, dim: number | undefined, i: number): Generator<number> {
  if (dim === undefined) {
    yield* x.data;
    return;
  }
  const inner = sizeOf(x.shape.slice(dim + 1));
  const first = Math.floor(i / inner) * x.shape[dim] * inner + (i % inner);
  for (let k = 0; k < x.shape[dim]; k++) yield x.data[first + k * inner];
}

function additive(name: 'sum' | 'mean'): Operation<Reduction> {
  const factor = (shape: Shape, { dim }: Reduction) =>
    name === 'sum' ? 1 : 1 / (dim === undefined ? sizeOf(shape) : shape[dim]);
  return operation<Reduction>({
    name,
    // Not cheap: the result is small and recomputing it would keep the large input.
    cheap: false,
    check([x], { dim }) {
      checkDtypes(name, [x], ['f32', 'f16']);
      if (dim !== undefined) checkDimension(name, x.shape, dim);
    },
    forward([x], attributes) {
      const { dim } = attributes;
      const scale = factor(x.shape, attributes);
      const y = dim === undefined ? castTo(sumAll(x, scale), x.dtype) : sumDimension(x, dim, scale);
      return { output: y.view(reducedShape(x.shape, attributes)) };
    },
    keeps: () => ({ inputs: [] }),
    backward({ grad, inputs: [x], attributes }) {
      const scale = factor(x.shape, attributes);
      const scaled = scale === 1 ? grad : mapUnary('a * alpha', grad, scale, 'f32');
      return [scaled.view(keptShape(x.shape, attributes)).expand(x.shape)];
    },
    reference([x], attributes) {
      const scale = factor(x.shape, attributes);
      return referenceOf(reducedShape(x.shape, attributes), (i) => {
        let sum = 0;
        for (const term of terms(x, attributes.dim, i)) sum += term;
        return sum * scale;
      });
    },
  });
}

export const sumOperation = additive('sum');
export const meanOperation = additive('mean');

/** Maximum over one dimension; the gradient goes to the first maximal element. */
export const maxOperation = operation<Reduction & { dim: number }>({
  name: 'max',
  cheap: false,
  check([x], { dim }) {
    checkDtypes('max', [x], ['f32', 'f16']);
    checkDimension('max', x.shape, dim);
    if (x.shape[dim] === 0)
      throw complain({
        where: 'max',
        got: `dimension ${dim} of shape [${x.shape}]`,
        expected: 'at least one element',
        remedy: 'skip empty tensors',
      });
  },
  forward([x], attributes) {
    const { values, places } = maxDimension(x, attributes.dim);
    return { output: values.view(reducedShape(x.shape, attributes)), saved: [places] };
  },
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, inputs: [x], saved: [places], attributes: { dim } }) => [maxGradient(grad, places, x.shape, dim)],
  reference: ([x], attributes) =>
    referenceOf(reducedShape(x.shape, attributes), (i) => Math.max(...terms(x, attributes.dim, i))),
});

/** Sum over one or all dimensions, added up in f32 in a fixed order; over all of them the shape is [1]. */
export const sum = (x: Tensor, options: Reduction = {}): Tensor => apply(sumOperation, [x], options);
/** Mean over one or all dimensions; over all of them the shape is [1]. */
export const mean = (x: Tensor, options: Reduction = {}): Tensor => apply(meanOperation, [x], options);
/** Maximum over dimension `dim`, NaN if it holds one. */
export const max = (x: Tensor, dim: number, keepdim = false): Tensor => apply(maxOperation, [x], { dim, keepdim });

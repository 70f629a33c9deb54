import { complain } from '../../errors.ts';
import type { DType } from '../../tensor/dtype.ts';
import { addRows, gatherRows } from '../../tensor/gather.ts';
import type { Indices } from '../../tensor/indices.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';

export interface EmbeddingAttributes {
  ids: Indices;
  /** Of the result. */
  dtype: 'f32' | 'f16';
}

/** Rows of a table [V, H] by token id; the gradient of a row is the sum over its occurrences, in their order. */
export const embeddingOperation = operation<EmbeddingAttributes>({
  name: 'embedding',
  cheap: true,
  check([weight], { ids }) {
    checkDtypes('embedding', [weight], ['f32', 'f16']);
    const { V } = checkShape('embedding', 'weight', weight.shape, ['V', 'H']);
    const index = ids.host.findIndex((id) => id < 0 || id >= V);
    if (index >= 0)
      throw complain({
        where: 'embedding',
        got: `id ${ids.host[index]} at index ${index}`,
        expected: `ids from 0 to ${V - 1}`,
        remedy: 'use the tokenizer that belongs to the model',
      });
  },
  forward: ([weight], { ids, dtype }) => ({ output: gatherRows(weight, ids, dtype) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, inputs: [weight], attributes: { ids } }) => [addRows(grad, ids, weight.shape[0])],
  reference([weight], { ids }) {
    const width = weight.shape[1];
    return referenceOf([ids.length, width], (i) => weight.data[ids.host[Math.floor(i / width)] * width + (i % width)]);
  },
});

/**
 * Looks ids up in an embedding table.
 *
 * @param weight [V, H], f32 or f16
 * @param ids N token ids
 * @returns [N, H] in `dtype` (the table's if left out)
 * @throws UserError naming index and value of an id outside the table
 */
export function embedding(weight: Tensor, ids: Indices, options: { dtype?: DType } = {}): Tensor {
  const dtype = options.dtype ?? weight.dtype;
  if (dtype !== 'f32' && dtype !== 'f16')
    throw complain({
      where: 'embedding',
      got: `dtype ${dtype}`,
      expected: 'f32 or f16',
      remedy: 'cast the table or pass another dtype',
    });
  return apply(embeddingOperation, [weight], { ids, dtype });
}

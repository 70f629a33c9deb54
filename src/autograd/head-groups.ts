import { complain } from '../errors.ts';
import { contiguous } from '../tensor/copy.ts';
import { BYTES } from '../tensor/dtype.ts';
import { concatenate } from '../tensor/join.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Heads are dimension 1 of [tokens, heads, size] and dimension 0 of statistics [heads, tokens]. */
const headDimension = (x: Tensor) => (x.shape.length === 3 ? 1 : 0);

/**
 * Runs attention on bindable tensors: on the whole, or on one range of key heads with their query heads after the
 * other where one binding cannot hold all, with the results joined.
 *
 * @param tensors q and k first, then any with heads of either number
 * @returns what `run` returns, for all heads
 * @throws UserError when one key head and its query heads do not fit
 */
export function byHeadGroups<R extends readonly (Tensor | null)[]>(
  tensors: readonly Tensor[],
  run: (tensors: Tensor[]) => R,
): R {
  const [q, k] = tensors;
  const step = keyHeadsThatFit(q, k);
  const count = k.shape[1];
  if (step >= count) return run(tensors.map(contiguous));
  return q.device.scope(() => {
    const results: R[] = [];
    for (let at = 0; at < count; at += step)
      results.push(
        q.device.scope(() => {
          const cut = (x: Tensor) => {
            const share = x.shape[headDimension(x)] / count;
            return contiguous(x.slice(headDimension(x), at * share, Math.min(at + step, count) * share));
          };
          return run(tensors.map(cut));
        }),
      );
    const whole = (x: Tensor | null, i: number) =>
      x &&
      concatenate(
        results.map((result) => result[i]!),
        headDimension(x),
      );
    return results[0].map(whole) as unknown as R;
  });
}

function keyHeadsThatFit(q: Tensor, k: Tensor): number {
  const [queries, heads, size] = q.shape;
  const [keys, kvHeads] = k.shape;
  const { maxBindingBytes } = q.device.capabilities;
  // Results of odd size are stored as f32; kernels also keep two f32 for each query and head.
  const width = size * (size % 2 === 0 ? BYTES[q.dtype] : BYTES.f32);
  const bytes = Math.max((queries * heads * Math.max(width, 2 * BYTES.f32)) / kvHeads, keys * width);
  const fitting = bytes === 0 ? kvHeads : Math.floor((maxBindingBytes - 16) / bytes);
  if (fitting === 0)
    throw complain({
      where: 'attention',
      got: `${queries} queries and ${keys} keys: ${bytes} bytes for one key head and its query heads`,
      expected: `at most ${maxBindingBytes - 16} in one binding of this adapter`,
      remedy: 'use a smaller per_device_train_batch_size or max_seq_length',
    });
  return fitting;
}

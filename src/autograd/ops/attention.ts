import { complain } from '../../errors.ts';
import { castTo } from '../../tensor/copy.ts';
import type { AttentionPath } from '../../tensor/kernel-paths.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import type { AttentionRanges } from '../attention-ranges.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { byHeadGroups } from '../head-groups.ts';
import { operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';
import { launchAttention, storedDtype } from './attention-kernels.ts';

export interface AttentionOptions {
  /** Which keys each query sees. */
  ranges: AttentionRanges;
  /** Factor of the scores; 1/√D if left out. */
  scale?: number;
  /** Forced by tests; chosen by adapter if left out. */
  path?: AttentionPath;
}

/** Options as the operation gets them. */
type Attributes = AttentionOptions & { scale: number };

/** Room for a result of the kernels with the shape of a tensor of heads. */
function likeStored(x: Tensor): Tensor {
  return Tensor.empty(x.device, x.shape, storedDtype(x.shape[2], x.dtype));
}

/** @returns the output and the log-sum-exp of each [head, query] */
function forwardPass(q: Tensor, k: Tensor, v: Tensor, options: Attributes): [Tensor, Tensor] {
  const [queries, heads] = q.shape;
  const y = likeStored(q);
  const logSum = Tensor.empty(q.device, [heads, queries]);
  launchAttention('forward', q, k, options, { q, k, v, ranges: options.ranges.table, y, log_sum: logSum });
  return [castTo(y, q.dtype), logSum];
}

/** @returns the gradients of q, k and v that are wanted */
function backwardPass(
  [q, k, v, grad, o, logSum]: readonly Tensor[],
  attributes: Attributes,
  needs: readonly boolean[],
): (Tensor | null)[] {
  const [queries, heads] = q.shape;
  const statistics = Tensor.empty(q.device, [heads, queries, 2]);
  launchAttention('output_products', q, k, attributes, { o, grad, log_sum_saved: logSum, statistics });
  const bindings = { q, k, v, grad, ranges: attributes.ranges.table, statistics_read: statistics };
  const gradients: (Tensor | null)[] = [null, null, null];
  if (needs[0]) {
    const y = likeStored(q);
    launchAttention('gradient_queries', q, k, attributes, { ...bindings, y });
    gradients[0] = castTo(y, q.dtype);
  }
  if (needs[1] || needs[2]) {
    const [y, y2] = [likeStored(k), likeStored(v)];
    launchAttention('gradient_keys', q, k, attributes, { ...bindings, y, y2 });
    gradients[1] = castTo(y, k.dtype);
    gradients[2] = castTo(y2, v.dtype);
  }
  return gradients;
}

export const attentionOperation = operation<Attributes>({
  name: 'attention',
  cheap: false,

  check([q, k, v], { ranges, scale }) {
    checkDtypes('attention', [q, k, v], ['f32', 'f16']);
    checkDtypes('attention', [k, v], [q.dtype]);
    const sizes = checkShape('attention', 'q', q.shape, ['T', 'Hq', 'D']);
    checkShape('attention', 'k', k.shape, ['S', 'Hkv', 'D'], sizes);
    checkShape('attention', 'v', v.shape, ['S', 'Hkv', 'D'], sizes);
    const { T, S, Hq, Hkv, D } = sizes;
    const refuse = (got: string, expected: string, remedy: string) => {
      throw complain({ where: 'attention', got, expected, remedy });
    };
    if (D < 1 || D > 256) refuse(`heads of ${D} elements`, '1 to 256', 'use more heads');
    if (Hkv < 1 || Hq % Hkv !== 0)
      refuse(`${Hq} query heads and ${Hkv} key heads`, 'a multiple of the key heads', 'repeat or drop heads');
    if (ranges.length !== T || ranges.keyCount !== S)
      refuse(
        `ranges of ${ranges.length} queries over ${ranges.keyCount} keys`,
        `${T} queries over ${S} keys`,
        'make the ranges from the lengths of this batch',
      );
    if (!Number.isFinite(scale)) refuse(`scale ${scale}`, 'a finite number', 'leave it out for 1/√D');
  },

  forward(inputs, options) {
    const [output, logSum] = byHeadGroups(inputs, ([q, k, v]) => forwardPass(q, k, v, options));
    return { output, saved: [logSum] };
  },

  keeps: () => ({ inputs: [0, 1, 2], output: true }),

  backward: ({ grad, inputs, output, saved: [logSum], attributes, needs }) => [
    ...byHeadGroups([...inputs, grad, output, logSum], (tensors) => backwardPass(tensors, attributes, needs)),
  ],

  reference([q, k, v], { ranges, scale }) {
    const [queries, heads, width] = q.shape;
    const kvHeads = k.shape[1];
    const result = referenceOf(q.shape);
    const dot = (x: Reference, xAt: number, y: Reference, yAt: number) => {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += x.data[xAt + d] * y.data[yAt + d];
      return sum;
    };
    for (let i = 0; i < queries; i++)
      for (let h = 0; h < heads; h++) {
        const at = (i * heads + h) * width;
        const keyAt = (j: number) => (j * kvHeads + Math.floor((h * kvHeads) / heads)) * width;
        const scores: number[] = [];
        for (let j = ranges.starts[i]; j < ranges.ends[i]; j++) scores.push(scale * dot(q, at, k, keyAt(j)));
        const highest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - highest));
        const sum = weights.reduce((a, b) => a + b, 0);
        for (const [n, weight] of weights.entries())
          for (let d = 0; d < width; d++)
            result.data[at + d] += (weight / sum) * v.data[keyAt(ranges.starts[i] + n) + d];
      }
    return result;
  },
});

/**
 * Softmax attention with grouped query heads: query head h reads key head floor(h / (Hq / Hkv)).
 *
 * Softmax and sums are in f32 whatever the dtype; a query whose range is empty gets zeros. Keys outside a query's
 * range have no influence on its result, not even by a NaN.
 *
 * @param q [T, Hq, D] in f32 or f16, D ≤ 256
 * @param k [S, Hkv, D] in q's dtype; Hq a multiple of Hkv
 * @param v [S, Hkv, D] in q's dtype
 * @returns [T, Hq, D] in q's dtype
 * @throws UserError for shapes, dtypes or ranges that do not fit together
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  return apply(attentionOperation, [q, k, v], { ...options, scale: options.scale ?? 1 / Math.sqrt(q.shape[2]) });
}

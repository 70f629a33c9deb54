import { complain } from '../../errors.ts';
import { castTo } from '../../tensor/copy.ts';
import type { Launch } from '../../tensor/device.ts';
import type { DType } from '../../tensor/dtype.ts';
import { type AttentionPath, attentionPath } from '../../tensor/kernel-paths.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { combinations, type KernelVariant } from '../../tensor/variants.ts';
import { type AttentionRanges, RANGE_BLOCK } from '../attention-ranges.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { byHeadGroups } from '../head-groups.ts';
import { operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';
import { apply } from '../tape.ts';

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

/** Threads side by side in a workgroup of the tiled kernels, each with 32 / LANES rows. */
const LANES = 8;

type Defines = Record<string, string | number>;

/** How kernels read and write heads of `width` elements. */
function access(width: number, dtype: DType): Defines {
  return {
    X: dtype,
    // Rows of odd width share f16 words: they are written as f32 and converted.
    Y: width % 2 === 0 ? dtype : 'f32',
    READ: width % 4 === 0 ? 'quads' : 'ragged',
    WIDTH: width,
  };
}

/** How a head of `width` elements is laid out over threads; see kernels/include/attention_layout.wgsl. */
function layout(width: number, entry: string, dtype: DType): Defines {
  const parts = Math.ceil(width / 32);
  const step = entry === 'forward' ? (parts <= 4 ? 16 : 8) : parts <= 2 ? 16 : parts <= 4 ? 8 : 4;
  return {
    ...access(width, dtype),
    PARTS: parts,
    VECS: Math.ceil(width / 4 / parts),
    STEP: step,
    LANES,
  };
}

/** End of the plain kernels' loops over the vec4s of a row; see kernels/attention_plain.wgsl. */
function quadsOf(width: number): string {
  return width <= 64 ? `${Math.ceil(width / 4)}u` : 'p.quads';
}

/** The kernel of an entry point; `output_products` has no tiles and no sibling. */
function kernelOf(entry: string, path: AttentionPath, width: number, dtype: DType) {
  return path === 'plain' && entry !== 'output_products'
    ? { kernel: 'attention_plain.wgsl', entry, defines: { ...access(width, dtype), QUADS: quadsOf(width) } }
    : { kernel: 'attention.wgsl', entry, defines: layout(width, entry, dtype) };
}

function launch(entry: string, q: Tensor, k: Tensor, options: Attributes) {
  const [queries, heads, width] = q.shape;
  const [keys, kvHeads] = k.shape;
  const { path = attentionPath(q.device.capabilities) } = options;
  return (bindings: Launch['bindings'], workgroups: [number, number, number]) =>
    q.device.run({
      ...kernelOf(entry, path, width, q.dtype),
      bindings,
      params: { queries, keys, heads, kv_heads: kvHeads, scale: options.scale, quads: Math.ceil(width / 4) },
      workgroups,
    });
}

const stored = (like: Tensor): DType => (like.shape[2] % 2 === 0 ? like.dtype : 'f32');

/** @returns the output and the log-sum-exp of each [head, query] */
function forwardPass(q: Tensor, k: Tensor, v: Tensor, options: Attributes): [Tensor, Tensor] {
  const [queries, heads] = q.shape;
  const y = Tensor.empty(q.device, q.shape, stored(q));
  const logSum = Tensor.empty(q.device, [heads, queries]);
  launch(
    'forward',
    q,
    k,
    options,
  )({ q, k, v, ranges: options.ranges.table, y, log_sum: logSum }, [Math.ceil(queries / RANGE_BLOCK), heads, 1]);
  return [castTo(y, q.dtype), logSum];
}

/** @returns the gradients of q, k and v that are wanted */
function backwardPass(
  [q, k, v, grad, o, logSum]: readonly Tensor[],
  attributes: Attributes,
  needs: readonly boolean[],
): (Tensor | null)[] {
  const [queries, heads] = q.shape;
  const [keys, kvHeads] = k.shape;
  const ranges = attributes.ranges.table;
  const statistics = Tensor.empty(q.device, [heads, queries, 2]);
  launch(
    'output_products',
    q,
    k,
    attributes,
  )({ o, grad, log_sum_saved: logSum, statistics }, [Math.ceil(queries / 64), heads, 1]);
  const gradients: (Tensor | null)[] = [null, null, null];
  if (needs[0]) {
    const y = Tensor.empty(q.device, q.shape, stored(q));
    launch(
      'gradient_queries',
      q,
      k,
      attributes,
    )({ q, k, v, grad, ranges, statistics_read: statistics, y }, [Math.ceil(queries / RANGE_BLOCK), heads, 1]);
    gradients[0] = castTo(y, q.dtype);
  }
  if (needs[1] || needs[2]) {
    const y = Tensor.empty(q.device, k.shape, stored(k));
    const y2 = Tensor.empty(q.device, v.shape, stored(v));
    launch(
      'gradient_keys',
      q,
      k,
      attributes,
    )({ q, k, v, grad, ranges, statistics_read: statistics, y, y2 }, [Math.ceil(keys / RANGE_BLOCK), kvHeads, 1]);
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

const BINDINGS: Record<string, string[]> = {
  forward: ['q', 'k', 'v', 'ranges', 'y', 'log_sum'],
  output_products: ['o', 'grad', 'log_sum_saved', 'statistics'],
  gradient_queries: ['q', 'k', 'v', 'grad', 'ranges', 'statistics_read', 'y'],
  gradient_keys: ['q', 'k', 'v', 'grad', 'ranges', 'statistics_read', 'y', 'y2'],
};

/** Kernels by head size (every layout of threads, aligned, even and odd), dtype, entry point and path. */
export const variants: KernelVariant[] = combinations({
  width: ['1', '6', '20', '33', '64', '96', '128', '160', '256'],
  dtype: ['f32', 'f16'],
  entry: Object.keys(BINDINGS),
}).flatMap(({ width, dtype, entry }) =>
  (['tiled', 'plain'] as const).map((path) => ({
    ...kernelOf(entry, path, Number(width), dtype as DType),
    bindings: BINDINGS[entry],
  })),
);

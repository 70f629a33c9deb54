import { complain } from '../../errors.ts';
import { contiguous } from '../../tensor/copy.ts';
import { flatParts } from '../../tensor/parts.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { KernelVariant } from '../../tensor/variants.ts';
import { apply } from '../apply.ts';
import { checkDtypes } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';

export const variants: KernelVariant[] = ['f32', 'f16'].map((X) => ({
  kernel: 'dropout.wgsl',
  defines: { X },
  bindings: ['x', 'y'],
}));

export interface DropoutOptions {
  /** Probability that an element becomes zero, 0 ≤ p < 1. */
  p: number;
  /** Unsigned 32 bits; the same seed gives the same mask. */
  seed: number;
}

const thresholdOf = (p: number) => Math.min(2 ** 32 - 1, Math.round(p * 2 ** 32));

function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Whether element `index` is dropped; the same function as in kernels/dropout.wgsl. */
export function isDropped(index: number, { p, seed }: DropoutOptions): boolean {
  return mix(mix(index) ^ seed) < thresholdOf(p);
}

function mask(x: Tensor, { p, seed }: DropoutOptions): Tensor {
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  let first = 0;
  for (const [from, to] of flatParts([contiguous(x), y])) {
    x.device.run({
      kernel: 'dropout.wgsl',
      defines: { X: x.dtype },
      bindings: { x: from, y: to },
      params: { count: to.size, first, seed: seed >>> 0, threshold: thresholdOf(p), factor: 1 / (1 - p) },
      workgroups: Math.ceil(to.size / 128),
    });
    first += to.size;
  }
  return y;
}

/** Zeroes elements at random and scales the rest, so that the mean stays. */
export const dropoutOperation = operation<DropoutOptions>({
  name: 'dropout',
  cheap: true,

  check([x], { p }) {
    checkDtypes('dropout', [x], ['f32', 'f16']);
    if (!(p >= 0 && p < 1))
      throw complain({ where: 'dropout', got: `p = ${p}`, expected: '0 ≤ p < 1', remedy: 'change lora_dropout' });
  },

  forward: ([x], options) => ({ output: mask(x, options) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, attributes }) => [mask(grad, attributes)],
  reference: ([x], options) => referenceOf(x.shape, (i) => (isDropped(i, options) ? 0 : x.data[i] / (1 - options.p))),
});

/**
 * Dropout (Srivastava et al. 2014); with p = 0 it is x itself.
 *
 * @param x any shape, f32 or f16
 * @throws UserError for p outside [0, 1)
 */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  return options.p === 0 ? x : apply(dropoutOperation, [x], options);
}

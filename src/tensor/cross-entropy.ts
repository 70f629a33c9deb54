import { Tensor } from './tensor.ts';
import type { KernelVariant } from './variants.ts';

/** A chunk of rows and a range of the vocabulary: where a tensor of logits lies in the whole that is never formed. */
export interface LogitRange {
  /** [words, rows], f32 */
  logits: Tensor;
  /** Labels of all rows, i32. */
  labels: Tensor;
  /** [all rows, 4] f32: see kernels/cross_entropy.wgsl. */
  stats: Tensor;
  firstRow: number;
  firstWord: number;
}

/** Words that one workgroup takes into the statistics of 32 rows, and in `gradient_even`. */
const SLICE = 2048;
const WORDS = 16;

const choice = (entry: string, dtype: 'f32' | 'f16') => ({
  kernel: 'cross_entropy.wgsl',
  entry,
  defines: { Y: dtype, LOGIT: dtype === 'f32' ? 'y[i]' : 'logits_at(i)' },
});

export const variants: KernelVariant[] = [
  { ...choice('statistics', 'f32'), bindings: ['logits', 'labels', 'parts'] },
  { ...choice('combine', 'f32'), bindings: ['parts', 'stats'] },
  { ...choice('row_losses', 'f32'), bindings: ['stats', 'losses'] },
  { ...choice('gradient', 'f32'), bindings: ['y', 'labels', 'stats'] },
  { ...choice('gradient', 'f16'), bindings: ['logits', 'y', 'labels', 'stats'] },
  { ...choice('gradient_even', 'f32'), bindings: ['y', 'labels', 'stats'] },
  { ...choice('gradient_even', 'f16'), bindings: ['logits', 'y', 'labels', 'stats'] },
];

/** Takes the range's logits into the statistics of its rows; ranges of a row go in the order of the vocabulary. */
export function addStatistics({ logits, labels, stats, firstRow, firstWord }: LogitRange): void {
  const [width, rows] = logits.shape;
  const { device } = logits;
  const slices = Math.ceil(width / SLICE);
  const params = { rows, first_row: firstRow, width, first_word: firstWord, slices, scale: 1 };
  device.scope(() => {
    const parts = Tensor.empty(device, [slices, rows, 4]);
    device.run({
      ...choice('statistics', 'f32'),
      bindings: { logits, labels, parts },
      params,
      workgroups: [Math.ceil(rows / 32), slices, 1],
    });
    device.run({
      ...choice('combine', 'f32'),
      bindings: { parts, stats },
      params,
      workgroups: Math.ceil(rows / 64),
    });
  });
}

/** Loss of each row, [rows] f32: log Σ e^logit − the label's logit; NaN where a logit is not finite. */
export function lossesOf(stats: Tensor): Tensor {
  const rows = stats.shape[0];
  const losses = Tensor.empty(stats.device, [rows]);
  stats.device.run({
    ...choice('row_losses', 'f32'),
    bindings: { stats, losses },
    params: { rows, first_row: 0, width: 0, first_word: 0, slices: 0, scale: 1 },
    workgroups: Math.ceil(rows / 64),
  });
  return losses;
}

/** (softmax − one-hot) · scale of a range, [words, rows]; in f32 it overwrites the logits. */
export function softmaxGradient(range: LogitRange, dtype: 'f32' | 'f16', scale: number): Tensor {
  const { logits, labels, stats, firstRow, firstWord } = range;
  const [width, rows] = logits.shape;
  const y = dtype === 'f32' ? logits : Tensor.empty(logits.device, logits.shape, dtype);
  const even = rows % 2 === 0;
  logits.device.run({
    ...choice(even ? 'gradient_even' : 'gradient', dtype),
    bindings: dtype === 'f32' ? { y, labels, stats } : { logits, y, labels, stats },
    params: { rows, first_row: firstRow, width, first_word: firstWord, slices: 0, scale },
    workgroups: even ? [Math.ceil(rows / 128), Math.ceil(width / WORDS), 1] : Math.ceil(y.size / 128),
  });
  return y;
}

import { Tensor } from './tensor.ts';
import type { KernelVariant } from './variants.ts';

/** A chunk of rows and a range of the vocabulary: where a tensor of logits lies in the whole that is never formed. */
export interface LogitRange {
  logits: Tensor;
  /** Labels of all rows, i32. */
  labels: Tensor;
  /** [all rows, 4] f32: see kernels/cross_entropy.wgsl. */
  stats: Tensor;
  firstRow: number;
  firstColumn: number;
}

const choice = (entry: string, dtype: 'f32' | 'f16') => ({
  kernel: 'cross_entropy.wgsl',
  entry,
  defines: { Y: dtype, LOGIT: dtype === 'f32' ? 'y[i]' : 'logits_at(i)' },
});

export const variants: KernelVariant[] = [
  { ...choice('statistics', 'f32'), bindings: ['logits', 'labels', 'stats'] },
  { ...choice('row_losses', 'f32'), bindings: ['stats', 'losses'] },
  { ...choice('gradient', 'f32'), bindings: ['y', 'labels', 'stats'] },
  { ...choice('gradient', 'f16'), bindings: ['logits', 'y', 'labels', 'stats'] },
];

/** Takes the range's logits into the statistics of its rows; ranges of a row go in the order of the vocabulary. */
export function addStatistics({ logits, labels, stats, firstRow, firstColumn }: LogitRange): void {
  const [rows, width] = logits.shape;
  logits.device.run({
    ...choice('statistics', 'f32'),
    bindings: { logits, labels, stats },
    params: { rows, first_row: firstRow, width, first_column: firstColumn, scale: 1 },
    workgroups: rows,
  });
}

/** Loss of each row, [rows] f32: log Σ e^logit − the label's logit; NaN where a logit is not finite. */
export function lossesOf(stats: Tensor): Tensor {
  const rows = stats.shape[0];
  const losses = Tensor.empty(stats.device, [rows]);
  stats.device.run({
    ...choice('row_losses', 'f32'),
    bindings: { stats, losses },
    params: { rows, first_row: 0, width: 0, first_column: 0, scale: 1 },
    workgroups: Math.ceil(rows / 64),
  });
  return losses;
}

/** (softmax − one-hot) · scale of a range; in f32 it overwrites the logits. */
export function softmaxGradient(range: LogitRange, dtype: 'f32' | 'f16', scale: number): Tensor {
  const { logits, labels, stats, firstRow, firstColumn } = range;
  const [rows, width] = logits.shape;
  const y = dtype === 'f32' ? logits : Tensor.empty(logits.device, logits.shape, dtype);
  logits.device.run({
    ...choice('gradient', dtype),
    bindings: dtype === 'f32' ? { y, labels, stats } : { logits, y, labels, stats },
    params: { rows, first_row: firstRow, width, first_column: firstColumn, scale },
    workgroups: Math.ceil(y.size / 128),
  });
  return y;
}

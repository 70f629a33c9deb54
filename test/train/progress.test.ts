import { expect, test } from 'vitest';
import { bytes, clock, Progress } from '../../src/train/progress.ts';
import type { StepReport } from '../../src/train/trainer.ts';

function report(step: number, changes: Partial<StepReport> = {}): StepReport {
  return {
    step,
    loss: 10 - step,
    lr: 1e-4,
    grad_norm: 0.5,
    tokens: 100,
    targets: 50,
    seconds: 2,
    skipped: false,
    loss_scale: 1,
    peakBytes: 0.9e9 * step,
    reservedBytes: 1e9 * step,
    ...changes,
  };
}

test('a line a step: loss, rate, gradient norm, speed, time left and memory', () => {
  const progress = new Progress(10);
  expect(progress.line(report(1))).toBe(
    'step  1/10  loss 9.0000  lr 1.00e-4  grad_norm 0.500  50 tok/s  ETA ?  mem 1.0 GB',
  );
  // The first step, which builds the kernels, does not count for the time left.
  expect(progress.line(report(2, { seconds: 1 }))).toContain('ETA 0:08');
});

test('a skipped step shows in its line and in the summary', () => {
  const progress = new Progress(3);
  expect(progress.summary()).toBe('no step was made');
  progress.line(report(1));
  expect(progress.line(report(2, { skipped: true, grad_norm: Number.POSITIVE_INFINITY }))).toMatch(
    /grad_norm Infinity .* SKIPPED: a gradient was not finite$/,
  );
  progress.line(report(3));
  expect(progress.summary()).toBe(
    'trained 3 steps in 0:06  loss 9.0000 -> 7.0000 (first and last step)  50 tok/s  mem 3.0 GB  1 SKIPPED step, whose gradients were not finite',
  );
});

test('the summary compares the first tenth of the steps with the last', () => {
  const progress = new Progress(20);
  for (let step = 1; step <= 20; step++) progress.line(report(step));
  expect(progress.summary()).toContain('loss 8.5000 -> -9.5000 (means of the first and last 2 steps)');
  expect(progress.summary()).toContain('no step skipped');
});

test('the summary of one step', () => {
  const progress = new Progress(1);
  progress.line(report(1));
  expect(progress.summary()).toBe('trained 1 step in 0:02  loss 9.0000  50 tok/s  mem 1.0 GB  no step skipped');
});

test('times and sizes', () => {
  expect([0, 59.6, 75, 3700].map(clock)).toEqual(['0:00', '1:00', '1:15', '1:01:40']);
  expect([0, 999, 1536, 2.5e9].map(bytes)).toEqual(['0 B', '999 B', '1.5 kB', '2.5 GB']);
});

import { complain } from '../errors.ts';
import type { Row } from './packing.ts';
import { Random } from './random.ts';
import type { Sample } from './tokenize.ts';

/** How rows become optimiser steps; the names and rules are those of transformers' TrainingArguments. */
export interface StepOptions {
  /** Rows a micro-batch. */
  per_device_train_batch_size: number;
  /** Micro-batches a step. */
  gradient_accumulation_steps: number;
  /** Passes over the rows; may be a fraction. Not used with `max_steps`. */
  num_train_epochs: number;
  /** Number of steps whatever the epochs; null or -1 to go by epochs. */
  max_steps?: number | null;
  /** Decides the order of the rows in every epoch. */
  seed: number;
}

/** The documents of all rows of one forward and backward pass. */
export type MicroBatch = Sample[];

/**
 * Number of steps {@link optimizerSteps} gives for so many rows.
 * @throws UserError for options out of range and for no rows
 */
export function countSteps(rows: number, options: Omit<StepOptions, 'seed'>): number {
  checkWhole('per_device_train_batch_size', options.per_device_train_batch_size);
  checkWhole('gradient_accumulation_steps', options.gradient_accumulation_steps);
  if (rows < 1) throw outOfRange('rows', rows, 'at least one', 'give a data set that is not empty');
  const { max_steps = null, num_train_epochs } = options;
  if (max_steps !== null && max_steps !== -1) {
    checkWhole('max_steps', max_steps);
    return max_steps;
  }
  if (!(num_train_epochs > 0 && Number.isFinite(num_train_epochs))) {
    throw outOfRange('num_train_epochs', num_train_epochs, 'a number above 0', 'correct the option');
  }
  const microBatches = Math.ceil(rows / options.per_device_train_batch_size);
  return Math.ceil(num_train_epochs * Math.ceil(microBatches / options.gradient_accumulation_steps));
}

/**
 * The steps of a training run: each a list of at most `gradient_accumulation_steps` micro-batches of at most
 * `per_device_train_batch_size` rows. Every epoch takes each row once in a new order; its last micro-batch and its last
 * step may be smaller, so that no row is lost. The same rows and options give the same steps.
 * @throws UserError as {@link countSteps}, before the first step
 */
export function* optimizerSteps(rows: readonly Row[], options: StepOptions): Generator<MicroBatch[], void, void> {
  let left = countSteps(rows.length, options);
  const { per_device_train_batch_size: batchSize, gradient_accumulation_steps: accumulation } = options;
  const random = new Random(options.seed);
  while (left > 0) {
    const order = random.shuffle(rows);
    for (let start = 0; start < order.length && left > 0; left--) {
      const step: MicroBatch[] = [];
      for (; step.length < accumulation && start < order.length; start += batchSize) {
        step.push(order.slice(start, start + batchSize).flat());
      }
      yield step;
    }
  }
}

function checkWhole(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw outOfRange(name, value, 'a whole number of at least 1', 'correct the option');
}

function outOfRange(name: string, got: number, expected: string, remedy: string) {
  return complain({ where: `training steps, ${name}`, got: String(got), expected, remedy });
}

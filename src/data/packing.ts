import { Random } from './random.ts';
import type { Sample } from './tokenize.ts';

/** Samples that share a row; they attend to themselves alone. */
export type Row = Sample[];

export interface PackingOptions {
  max_seq_length: number;
  /** False: one sample in a row. */
  packing: boolean;
  seed: number;
}

/**
 * Fills rows of max_seq_length tokens with whole samples: longest first, each into the fullest row that has room (best
 * fit decreasing). Samples of equal length are in a seeded order.
 */
export function packRows(samples: readonly Sample[], { max_seq_length, packing, seed }: PackingOptions): Row[] {
  const shuffled = new Random(seed).shuffle(samples);
  if (!packing) return shuffled.map((sample) => [sample]);
  const ordered = shuffled.sort((a, b) => b.input_ids.length - a.input_ids.length);
  const rows: Row[] = [];
  // Rows by the room left in them; a row moves to another list as it fills.
  const byRoom: Row[][] = Array.from({ length: max_seq_length + 1 }, () => []);
  for (const sample of ordered) {
    const length = sample.input_ids.length;
    let room = length;
    while (room <= max_seq_length && byRoom[room].length === 0) room++;
    const row = byRoom[room]?.pop() ?? newRow(rows);
    row.push(sample);
    byRoom[Math.min(room, max_seq_length) - length].push(row);
  }
  return rows;
}

function newRow(rows: Row[]): Row {
  const row: Row = [];
  rows.push(row);
  return row;
}

export interface StepOptions {
  per_device_train_batch_size: number;
  gradient_accumulation_steps: number;
  num_train_epochs: number;
  /** Optimiser steps; −1 for as many as the epochs have. */
  max_steps: number;
  seed: number;
}

/** How many optimiser steps {@link optimizerSteps} yields. */
export function countSteps(rows: number, options: StepOptions): number {
  if (options.max_steps > 0) return options.max_steps;
  const perStep = options.per_device_train_batch_size * options.gradient_accumulation_steps;
  return Math.max(1, Math.ceil(Math.ceil(rows / perStep) * options.num_train_epochs));
}

/**
 * Optimiser steps as lists of micro-batches, each a list of samples; rows are shuffled anew for every epoch. The last
 * step of an epoch may be smaller.
 */
export function* optimizerSteps(rows: readonly Row[], options: StepOptions): Generator<Sample[][]> {
  const { per_device_train_batch_size: size, gradient_accumulation_steps: micros, seed } = options;
  const total = countSteps(rows.length, options);
  for (let epoch = 0, step = 0; step < total; epoch++) {
    const order = new Random(seed + 1 + epoch).shuffle(rows);
    for (let at = 0; at < order.length && step < total; at += size * micros, step++) {
      const chosen = order.slice(at, at + size * micros);
      const batches: Sample[][] = [];
      for (let row = 0; row < chosen.length; row += size) batches.push(chosen.slice(row, row + size).flat());
      yield batches;
    }
  }
}

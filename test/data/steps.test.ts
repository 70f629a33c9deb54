import { describe, expect, it } from 'vitest';
import { countSteps, optimizerSteps } from '../../src/data/steps.ts';
import type { Sample } from '../../src/data/tokenize.ts';

/** A sample whose ids all are its number, so that it can be recognised. */
const sample = (length: number, number: number): Sample => ({
  input_ids: new Int32Array(length).fill(number),
  labels: new Int32Array(length).fill(number),
});
const numbers = (samples: Sample[]) => samples.map(({ input_ids }) => input_ids[0]);
const ascending = (list: number[]) => [...list].sort((a, b) => a - b);

describe('optimizerSteps', () => {
  const rows = Array.from({ length: 11 }, (_, i) => [sample(1, 2 * i), sample(2, 2 * i + 1)]);
  const options = { per_device_train_batch_size: 2, gradient_accumulation_steps: 4, num_train_epochs: 3, seed: 5 };

  it('takes every row once an epoch, in another order, ending with smaller steps', () => {
    const steps = [...optimizerSteps(rows, options)];
    expect(steps.map((step) => step.map((batch) => batch.length / 2))).toEqual(
      [0, 1, 2].flatMap(() => [
        [2, 2, 2, 2],
        [2, 1],
      ]),
    );
    expect(countSteps(rows.length, options)).toBe(6);
    const epochs = [0, 2, 4].map((first) => numbers(steps.slice(first, first + 2).flat(2)));
    for (const epoch of epochs) expect(ascending(epoch)).toEqual(Array.from({ length: 22 }, (_, i) => i));
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(epochs[1]).not.toEqual(epochs[2]);
    expect([...optimizerSteps(rows, options)]).toEqual(steps);
    expect([...optimizerSteps(rows, { ...options, seed: 6 })]).not.toEqual(steps);
  });

  it.each([
    [{ max_steps: 1 }, 1],
    [{ max_steps: 9 }, 9],
    [{ max_steps: -1 }, 6],
    [{ max_steps: null }, 6],
    [{ num_train_epochs: 0.25 }, 1],
    [{ num_train_epochs: 1.5 }, 3],
    [{ per_device_train_batch_size: 100 }, 3],
  ])('gives as many steps as counted for %j', (change, steps) => {
    expect(countSteps(rows.length, { ...options, ...change })).toBe(steps);
    expect([...optimizerSteps(rows, { ...options, ...change })].length).toBe(steps);
  });

  it('keeps the first steps whatever their number', () => {
    const all = [...optimizerSteps(rows, options)];
    expect([...optimizerSteps(rows, { ...options, max_steps: 5 })]).toEqual(all.slice(0, 5));
  });

  it.each([
    { per_device_train_batch_size: 0 },
    { gradient_accumulation_steps: 1.5 },
    { num_train_epochs: 0 },
    { num_train_epochs: Number.NaN },
    { max_steps: 0 },
  ])('refuses %j', (change) => {
    const [name] = Object.keys(change);
    expect(() => countSteps(3, { ...options, ...change })).toThrow(`training steps, ${name}: got`);
    expect(() => countSteps(0, options)).toThrow(/not empty/);
  });
});

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { type ScheduleName, schedule } from '../../src/optim/schedules.ts';

test('linear with warmup gives the learning rates of the reference training', () => {
  const { lr, warmup_steps, total_steps, lrs } = JSON.parse(
    readFileSync('test/reference/train-rslora/expected.json', 'utf8'),
  );
  const rate = schedule('linear', { learning_rate: lr, warmup_steps, max_steps: total_steps });
  for (const [step, want] of lrs.entries()) expect(rate(step)).toBeCloseTo(want, 16);
  expect(rate(total_steps)).toBe(0);
  expect(rate(total_steps + 5)).toBe(0);
});

/** transformers 5.17: LambdaLR factors of get_cosine_schedule_with_warmup(num_warmup_steps=2, num_training_steps=10). */
const COSINE = [
  0, 0.5, 1, 0.9619397662556434, 0.8535533905932737, 0.6913417161825449, 0.5, 0.30865828381745514, 0.14644660940672627,
  0.03806023374435663, 0,
];

test('cosine and constant', () => {
  const cosine = schedule('cosine', { learning_rate: 1, warmup_steps: 2, max_steps: 10 });
  for (const [step, want] of COSINE.entries()) expect(cosine(step)).toBeCloseTo(want, 15);
  const constant = schedule('constant', { learning_rate: 3, warmup_steps: 4, max_steps: 10 });
  expect([0, 1, 2, 3, 4, 9, 99].map(constant)).toEqual([0, 0.75, 1.5, 2.25, 3, 3, 3]);
});

test('warmup_ratio is rounded up; no warmup begins at the full rate', () => {
  const ratio = schedule('linear', { learning_rate: 1, warmup_ratio: 0.03, max_steps: 101 });
  expect([ratio(0), ratio(3), ratio(4)]).toEqual([0, 0.75, 1]);
  for (const name of ['linear', 'cosine', 'constant'] as ScheduleName[])
    expect(schedule(name, { learning_rate: 2, max_steps: 7 })(0)).toBe(2);
  expect(schedule('linear', { learning_rate: 1, warmup_steps: 5, max_steps: 5 })(4)).toBe(0.8);
});

test('nonsense is refused', () => {
  const make = (name: string, options: object) => () =>
    schedule(name as ScheduleName, { learning_rate: 1, max_steps: 10, ...options });
  expect(make('polynomial', {})).toThrow(UserError);
  expect(make('linear', { warmup_steps: -1 })).toThrow(UserError);
  expect(make('linear', { warmup_ratio: 2 })).toThrow(UserError);
  expect(make('linear', { warmup_steps: 1, warmup_ratio: 0.1 })).toThrow(UserError);
});

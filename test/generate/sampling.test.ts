import { describe, expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { checkSampling, chooseToken, type Sampling } from '../../src/generate/sampling.ts';

const LOGITS = [2, 1, 0, -1, Number.NEGATIVE_INFINITY];

/** How often each token is chosen, as a share. */
function shares(sampling: Sampling, logits = LOGITS, count = 20_000): number[] {
  const random = new Random(11);
  const counts = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < count; i++)
    counts[chooseToken(Float32Array.from(logits), { do_sample: true, ...sampling }, [], () => random.uniform())]++;
  return counts.map((n) => n / count);
}

function softmax(logits: readonly number[]): number[] {
  const weights = logits.map(Math.exp);
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

/** Five standard deviations of a share of one half. */
const BOUND = 5 * Math.sqrt(0.25 / 20_000);

describe('chooseToken', () => {
  test('greedy takes the first of the largest', () => {
    expect(chooseToken(Float32Array.from([1, 3, 3]), {}, [], () => 0)).toBe(1);
  });

  test.each<[string, Sampling, number[]]>([
    ['plain', {}, softmax(LOGITS)],
    ['temperature', { temperature: 0.5 }, softmax(LOGITS.map((x) => x / 0.5))],
    ['top_k', { top_k: 2 }, [...softmax([2, 1]), 0, 0, 0]],
    // Probabilities 0.644, 0.237, 0.087, 0.032: two tokens reach 0.8.
    ['top_p', { top_p: 0.8 }, [...softmax([2, 1]), 0, 0, 0]],
    // A tenth of the best: e^-2 = 0.135 stays, e^-3 = 0.05 goes.
    ['min_p', { min_p: 0.1 }, [...softmax([2, 1, 0]), 0, 0]],
  ])('%s samples by its distribution', (_, sampling, expected) => {
    for (const [i, share] of shares(sampling).entries()) expect(Math.abs(share - expected[i])).toBeLessThan(BOUND);
  });

  test('the repetition penalty makes tokens that are present less likely, whatever their sign', () => {
    expect(chooseToken(Float32Array.from([2, 1.5]), { repetition_penalty: 2 }, [0], () => 0)).toBe(1);
    expect(chooseToken(Float32Array.from([-1, -1.5]), { repetition_penalty: 2 }, [0], () => 0)).toBe(1);
  });

  test('NaN and infinity are errors', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => chooseToken(Float32Array.from([1, bad]), {}, [], () => 0)).toThrow(/diverged/);
  });

  test('the smallest temperature takes the most likely token', () => {
    for (const temperature of [1e-40, Number.MIN_VALUE])
      expect(chooseToken(Float32Array.from([1, 3, 2]), { do_sample: true, temperature }, [], () => 0.99)).toBe(1);
  });
});

test.each<[Sampling, RegExp]>([
  [{ temperature: 0 }, /temperature: got 0/],
  [{ top_p: 1.5 }, /top_p: got 1.5/],
  [{ top_k: -1 }, /top_k: got -1/],
  [{ top_k: 1.5 }, /top_k: got 1.5, expected a whole number/],
  [{ temperature: Number.POSITIVE_INFINITY }, /temperature: got Infinity/],
  [{ repetition_penalty: 0 }, /repetition_penalty: got 0/],
  [{ min_p: Number.NaN }, /min_p: got NaN/],
])('%j is refused', (sampling, message) => {
  expect(() => checkSampling(sampling)).toThrow(message);
});

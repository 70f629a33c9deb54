import { expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { sharedBuffers, type Use } from '../../src/tensor/reuse.ts';

const total = (sizes: readonly number[]) => sizes.reduce((sum, bytes) => sum + bytes, 0);

test('uses that do not meet share a buffer, whatever their sizes', () => {
  expect(
    sharedBuffers([
      { bytes: 10, from: 0, to: 1 },
      { bytes: 30, from: 2, to: 5 },
      { bytes: 20, from: 6, to: 6 },
    ]),
  ).toEqual([30]);
});

test('uses that meet, if only for a moment, do not', () => {
  expect(
    sharedBuffers([
      { bytes: 10, from: 0, to: 2 },
      { bytes: 30, from: 2, to: 5 },
      { bytes: 8, from: 3, to: 9 },
    ]),
  ).toEqual([30, 10]);
  expect(sharedBuffers([])).toEqual([]);
});

test('a small use takes the smallest buffer that is free, and leaves the large one to others', () => {
  const uses: Use[] = [
    { bytes: 100, from: 0, to: 1 },
    { bytes: 20, from: 0, to: 1 },
    { bytes: 15, from: 2, to: 9 },
    { bytes: 90, from: 3, to: 4 },
  ];
  expect(sharedBuffers(uses)).toEqual([100, 20]);
});

test('the buffers hold all that is in use at any moment, and not much more', () => {
  const random = new Random(3);
  const uses = Array.from({ length: 300 }, (): Use => {
    const from = random.below(400);
    return { bytes: 1 + random.below(1000), from, to: from + random.below(40) };
  });
  const sizes = sharedBuffers(uses);
  let peak = 0;
  for (let moment = 0; moment < 440; moment++) {
    const now = uses.filter(({ from, to }) => from <= moment && moment <= to).map(({ bytes }) => bytes);
    peak = Math.max(peak, total(now));
    // As many at least as large: each use has its buffer.
    const sorted = now.sort((a, b) => b - a);
    for (const [i, bytes] of sorted.entries()) expect(sizes[i]).toBeGreaterThanOrEqual(bytes);
  }
  expect(total(sizes)).toBeGreaterThanOrEqual(peak);
  expect(total(sizes)).toBeLessThan(1.25 * peak);
});

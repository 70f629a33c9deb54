import { expect, test } from 'vitest';
import { fastMathPower } from '../../src/optim/fast-math-power.ts';

/** __powf(beta, t) for t = 1 … 12 and for t = 20, 100, 1000, 10000, read on an H100. */
const READINGS = new Map([
  [
    0.9,
    [
      0x3f666666, 0x3f4f5c29, 0x3f3a9fbe, 0x3f27f62b, 0x3f172a5a, 0x3f080c85, 0x3ef4e353, 0x3edc6632, 0x3ec65bfa,
      0x3eb285fa, 0x3ea0abc8, 0x3e909a9a, 0x3df8fd2c, 0x37ded027, 0, 0,
    ],
  ],
  [
    0.99,
    [
      0x3f7d70a5, 0x3f7ae7d6, 0x3f786586, 0x3f75e9a2, 0x3f737418, 0x3f7104dd, 0x3f6e9bda, 0x3f6c3905, 0x3f69dc4b,
      0x3f67859c, 0x3f6534ec, 0x3f62ea27, 0x3f516266, 0x3ebb68d3, 0x38351510, 0,
    ],
  ],
  [
    0.999,
    [
      0x3f7fbe78, 0x3f7f7d01, 0x3f7f3b9a, 0x3f7efa44, 0x3f7eb8fe, 0x3f7e77cb, 0x3f7e36a6, 0x3f7df594, 0x3f7db491,
      0x3f7d73a0, 0x3f7d32be, 0x3f7cf1ee, 0x3f7aedbd, 0x3f67a0d5, 0x3ebc459c, 0x383d9712,
    ],
  ],
  [
    0.9999,
    [
      0x3f7ff973, 0x3f7ff2e6, 0x3f7fec59, 0x3f7fe5cc, 0x3f7fdf40, 0x3f7fd8b3, 0x3f7fd227, 0x3f7fcb9b, 0x3f7fc50f,
      0x3f7fbe83, 0x3f7fb7f7, 0x3f7fb16d, 0x3f7f7d17, 0x3f7d7412, 0x3f67a4ef, 0x3ebc66f6,
    ],
  ],
]);
const STEPS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 100, 1000, 10000];

test.each([...READINGS])('powers of %d are those of the special function unit', (beta, readings) => {
  for (const [i, t] of STEPS.entries()) {
    const want = new Float32Array(Uint32Array.of(readings[i]).buffer)[0];
    const got = fastMathPower(beta, t);
    expect(Math.fround(got)).toBe(got);
    // One unit in the last place below 1 is 2^-24.
    expect(Math.abs(got - want) * 2 ** 24, `${beta}^${t}`).toBeLessThanOrEqual(1);
    if (beta >= 0.999 && t <= 10) expect(got, `${beta}^${t}`).toBe(want);
  }
});

test('any beta is near the true power', () => {
  for (const beta of [0, 0.1, 0.77, 0.9, 0.93, 0.999, 0.99973, 0.999999])
    for (const t of STEPS)
      expect(Math.abs(fastMathPower(beta, t) - Math.fround(beta) ** t)).toBeLessThan(1e-7 + 6e-8 * t);
});

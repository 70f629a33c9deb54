import { describe, expect, test } from 'vitest';
import { dequantizeQ8_0, quantizeQ8_0 } from '../../src/quant/ggml/q8_0.ts';
import { openGgml, skipReason } from '../oracle/ggml.ts';
import { normals } from '../support/check-op.ts';

const COUNT = 2 ** 19;
const random = Float32Array.from(normals(COUNT, 5));

/** Two million values in all. */
const INPUTS: Record<string, Float32Array> = {
  normal: random,
  'heavy tails': random.map((x) => x ** 7),
  small: random.map((x) => x * 1e-6),
  uniform: random.map((_, i) => ((i * 2654435761) % 65536) / 32768 - 1),
  // Exactly between two codes: where rounding half away from zero and half to even differ.
  ties: random.map((_, i) => (i % 32 === 0 ? 127 : (i % 32) + 0.5 - 16)),
  constant: new Float32Array(4096).fill(0.7),
  zero: new Float32Array(4096),
  denormal: random.slice(0, 4096).map((x) => x * 1e-40),
  huge: random.slice(0, 4096).map((x) => x * 1e30),
};

describe.skipIf(skipReason !== '')(`Q8_0 against ggml${skipReason}`, () => {
  test.each(Object.keys(INPUTS))('%s', async (name) => {
    const values = INPUTS[name];
    const expected = (await openGgml()).quantize('q8_0', values, 256);
    const actual = quantizeQ8_0(values);
    expect(Buffer.compare(actual, expected)).toBe(0);
  });
});

test('dequantised values are within half a step', () => {
  const values = random.slice(0, 3200);
  const back = dequantizeQ8_0(quantizeQ8_0(values));
  for (let b = 0; b < 100; b++) {
    const block = values.subarray(b * 32, b * 32 + 32);
    const step = Math.max(...block.map(Math.abs)) / 127;
    // The scale is rounded to f16: up to 2^-11 of the largest value.
    for (let i = 0; i < 32; i++)
      expect(Math.abs(back[b * 32 + i] - block[i])).toBeLessThanOrEqual(step * (0.5 + 127 / 2048));
  }
});

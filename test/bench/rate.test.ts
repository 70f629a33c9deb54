import { expect, test } from 'vitest';
import { rateText } from '../../bench/rate.ts';

test.each([
  [332.44e12, 'FLOP/s', '332.4 TFLOP/s'],
  [4.2512e12, 'B/s', '4.251 TB/s'],
  [7.69e9, 'FLOP/s', '7.690 GFLOP/s'],
  [12_345_678, 'FLOP/s', '12.35 MFLOP/s'],
  [999.94e6, 'B/s', '999.9 MB/s'],
  [999.96e6, 'B/s', '1.000 GB/s'],
  [1234e12, 'FLOP/s', '1234 TFLOP/s'],
  [0.5, 'FLOP/s', '0.5000 FLOP/s'],
  [0, 'B/s', '0.000 B/s'],
] as const)('%d %s is %s', (perSecond, unit, text) => {
  expect(rateText(perSecond, unit)).toBe(text);
});

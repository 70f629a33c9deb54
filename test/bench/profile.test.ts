import { expect, test } from 'vitest';
import { profileOf } from '../../bench/8b/profile.ts';
import type { TimedCommand } from '../../src/tensor/timestamps.ts';

const command = (label: string, nanoseconds: number, more: Partial<TimedCommand> = {}): TimedCommand => ({
  label,
  defines: {},
  params: {},
  workgroups: [1, 1, 1],
  nanoseconds,
  ...more,
});

test('commands are summed by kernel, shape and variant, the longest first', () => {
  const product = { params: { m: 100, n: 10, k: 5 }, defines: { Y: 'f16' } };
  const lines = profileOf([
    command('copy', 1e6),
    command('gemm:main', 2e6, product),
    command('gemm:main', 4e6, product),
    command('gemm:main', 1e6, { ...product, defines: { Y: 'f32' } }),
    command('copy', 2e6),
  ]);
  expect(lines.map(({ key, ms, count, percent }) => ({ key, ms, count, percent }))).toEqual([
    { key: 'gemm:main 100x10x5 Y=f16', ms: 6, count: 2, percent: 60 },
    { key: 'copy', ms: 3, count: 2, percent: 30 },
    { key: 'gemm:main 100x10x5 Y=f32', ms: 1, count: 1, percent: 10 },
  ]);
  expect(lines[0].tflops).toBeCloseTo((2 * 2 * 100 * 10 * 5) / 6e-3 / 1e12, 15);
  expect(lines[1].tflops).toBeUndefined();
});

test('products on matrix units are named by tile, order and dtypes', () => {
  const defines = { UNITS: 'matrix', TM: 128, TN: 160, A_DIRECTION: '', B_DIRECTION: '_transposed', B_PANELS: 'true' };
  const key = (more: Record<string, string | number>) =>
    profileOf([command('gemm:main', 1, { defines: { ...defines, ...more } })])[0].key;
  expect(key({ C: 'none', Y: 'f16' })).toBe('gemm:main tile 128x160 NT panels f16');
  expect(key({ A_PANELS: 1, C: 'none', Y: 'f16' })).toBe('gemm:main tile 128x160 NT panels of both f16');
  expect(key({ B_PANELS: 'false', C: 'own_f32', Y: 'f32' })).toBe('gemm:main tile 128x160 NT f32 + own_f32');
});

test('a product counts its rider and its batches, but not the parts of its depth', () => {
  const params = { m: 64, n: 32, k: 512, rider: 16, splits: 4, whole: 0 };
  const [line] = profileOf([command('gemm:main', 1e6, { params, workgroups: [4, 1, 3] })]);
  expect(line.key).toBe('gemm:main 64x32x512+16 in 4 parts');
  expect(line.tflops).toBeCloseTo((3 * 2 * 64 * 32 * 528) / 1e-3 / 1e12, 15);
  const [tail] = profileOf([command('gemm:main', 1e6, { params: { ...params, whole: 1 } })]);
  expect(tail.key).toBe('gemm:main 64x32x512+16 tail in 4 parts');
  const [sum] = profileOf([command('gemm_split:main', 1e6, { params: { m: 64, n: 32, splits: 4 } })]);
  expect(sum.key).toBe('gemm_split:main 64x32 in 4 parts');
  expect(sum.tflops).toBeUndefined();
});

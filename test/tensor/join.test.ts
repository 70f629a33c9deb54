import { expect, test } from 'vitest';
import { concatenate } from '../../src/tensor/join.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

test.each([
  ['whole eights of f16, in one pass over each', 'f16', [8, 1032, 24, 1600]],
  ['one of them not', 'f16', [8, 12, 24]],
  ['one of them without columns', 'f16', [8, 0, 24]],
  ['f32', 'f32', [8, 16]],
] as const)('matrices side by side: %s', async (_, dtype, widths) => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const rows = 5;
    const matrices = widths.map((width, i) => Tensor.from(device, normals(rows * width, i), [rows, width], dtype));
    const joined = concatenate(matrices, 1);
    const expected = await Promise.all(matrices.map((matrix) => matrix.numbers()));
    const all = Array.from({ length: rows }, (_, row) =>
      expected.flatMap((values, i) => [...values.slice(row * widths[i], (row + 1) * widths[i])]),
    ).flat();
    expect(joined.shape).toEqual([rows, widths.reduce<number>((sum, width) => sum + width, 0)]);
    expect([...(await joined.numbers())]).toEqual(all);
  });
});

import { describe, expect, test } from 'vitest';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { type GemmPath, gemm } from '../../src/tensor/gemm/gemm.ts';
import { fromHalf, toHalf } from '../../src/tensor/half.ts';
import { concatenate } from '../../src/tensor/join.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';
import { path, random, units } from '../support/matrix-products.ts';
import { OPERATION_TOLERANCE } from '../support/operation-tolerances.ts';

const device = await testDevice();

describe(path, () => {
  test.skipIf(!units).each([
    ['many small matrices', 3, 40, 48, 24],
    ['large tiles', 256, 70, 77, 40],
  ])('batches: %s', async (_, batch, m, n, k) => {
    await device.scopeAsync(async () => {
      const [a, b] = [random(1, [batch, m, k]), random(2, [batch, k, n])];
      const run = (which: GemmPath) => gemm({ a, b, dtype: 'f32', path: which }).numbers();
      compare('batch', await run(path), await run('portable'), OPERATION_TOLERANCE.f32);
    });
  });

  // Whole eights, and rows that end within four; each value is alone among small ones in what a subgroup packs together.
  test.each([
    [12, 200],
    [12, 70],
  ])('%ix%i results in f16 at the end of its range and beyond', async (m, n) => {
    const limits = [65504, 65519.99609375, 65520, 1e20, 3e38, Number.POSITIVE_INFINITY, Number.NaN];
    const added = Array.from({ length: m * n }, (_, i) =>
      i % 61 === 0 ? limits[(i / 61) % 7] * (-1) ** (i % 2) : i % 9,
    );
    await device.scopeAsync(async () => {
      const [a, b] = [Tensor.zeros(device, [m, 8], 'f16'), Tensor.zeros(device, [8, n], 'f16')];
      const addend = Tensor.from(device, added, [m, n]);
      const result = await gemm({ a, b, addend, alpha: 2, dtype: 'f16', path }).numbers();
      expect(Array.from(result)).toEqual(Array.from(fromHalf(toHalf(added))));
    });
  });

  // One and two steps of a tile of depth, more than a tile, and what is no multiple of eight.
  for (const transposeB of [false, true])
    for (const r of units ? [0, 3, 16, 24, 40] : transposeB ? [16] : [16, 40])
      test(`a rider of depth ${r}, ${transposeB ? 'NT' : 'NN'}`, async () => {
        await device.scopeAsync(async () => {
          const [m, n, k] = [units ? 150 : 12, 136, 72];
          const a = random(1, [m, k]);
          const b = random(2, transposeB ? [n, k] : [k, n]);
          const rider = { a: random(3, [m, r]), b: random(4, transposeB ? [n, r] : [r, n]) };
          const run = (which: GemmPath, dtype: 'f32' | 'f16') => gemm({ a, b, rider, transposeB, dtype, path: which });
          const expected = await run('portable', 'f32').numbers();
          compare('rider', await run(path, 'f32').numbers(), expected, OPERATION_TOLERANCE.f32);
          compare('rider, f16', await run(path, 'f16').numbers(), expected, OPERATION_TOLERANCE.f16);
        });
      });

  // Quantised weights come in panels: widths that are no multiples of a panel, and one that has no panels at all.
  const weights = units
    ? [
        [192, 320],
        [200, 72],
        [70, 136],
        [64, 129],
      ]
    : [[200, 72]];
  for (const transposeB of [false, true])
    for (const [rows, columns] of weights)
      test(`nf4 weight ${rows}x${columns} ${transposeB ? 'NT' : 'NN'}`, async () => {
        await device.scopeAsync(async () => {
          const weight = quantizeNf4(random(1, [rows, columns], 'f32'));
          const [n, k] = transposeB ? [rows, columns] : [columns, rows];
          for (const m of units ? [5, 90, 140] : [5]) {
            const a = random(2, [m, k]);
            const options = { a, transposeB, dtype: 'f32' } as const;
            const expected = gemm({ ...options, b: weight.dense('f16'), path: 'portable' });
            const result = gemm({ ...options, b: weight, path });
            expect(result.shape).toEqual([m, n]);
            compare(`${m} rows`, await result.numbers(), await expected.numbers(), OPERATION_TOLERANCE.f32);
          }
        });
      });

  test.each([
    ['one product of a batch after the other', [40, 16, 40], 72, false],
    ['the depth in pieces', [40, 1000], 8, true],
  ] as const)('nf4 weight where operands exceed a binding: %s', async (_, [...shape], n, transposeA) => {
    const limited = await limitedDevice({ maxBindingBytes: 1 << 16 });
    const filled = (seed: number, sizes: readonly number[]) =>
      Tensor.from(
        limited,
        normals(
          sizes.reduce((x, y) => x * y),
          seed,
        ),
        sizes,
        'f16',
      );
    await limited.scopeAsync(async () => {
      const options = { a: filled(1, shape), transposeA, dtype: 'f32' } as const;
      const b = quantizeNf4(filled(2, [40, n]));
      const expected = await gemm({ ...options, b: b.dense('f16'), path: 'portable' }).numbers();
      compare('in parts', await gemm({ ...options, b, path }).numbers(), expected, OPERATION_TOLERANCE.f32);
    });
    limited.close();
  });

  test('nf4 weights one above the other', async () => {
    await device.scopeAsync(async () => {
      const [first, ...others] = [64, 32, 40].map((rows, i) => quantizeNf4(random(i, [rows, 64], 'f32')));
      const stack = first.stackedWith(others) as Tensor;
      expect(stack.shape).toEqual([136, 64]);
      const dense = concatenate(
        [first, ...others].map((weight) => weight.dense('f16')),
        0,
      );
      expect(await stack.dense('f16').data()).toEqual(await dense.data());
      const a = random(9, [5, 136]);
      const expected = await gemm({ a, b: dense, dtype: 'f32', path: 'portable' }).numbers();
      compare('panels', await gemm({ a, b: stack, dtype: 'f32', path }).numbers(), expected, OPERATION_TOLERANCE.f32);
      expect(first.stackedWith([quantizeNf4(random(1, [8, 72], 'f32'))])).toBeNull();
      expect(first.stackedWith([dense])).toBeNull();
    });
  });
});

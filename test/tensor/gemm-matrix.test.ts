import { describe, expect, test } from 'vitest';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { castTo } from '../../src/tensor/copy.ts';
import { type GemmPath, gemm } from '../../src/tensor/gemm/gemm.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const units = usableMatrixShape(device.capabilities) !== undefined;
/**
 * Real matrix units where there are some, else the same kernel without them: of that a few variants, since a software
 * driver compiles each for many seconds.
 */
const path: GemmPath = units ? 'matrix' : 'emulated';

/** Products of f16 are exact in f32; sums in another order differ by rounding alone. */
const ORDER = 1e-5;
/** A result rounded to f16. */
const HALF = 2e-3;

const random = (seed: number, shape: number[], dtype: 'f32' | 'f16' = 'f16') =>
  Tensor.from(
    device,
    normals(
      shape.reduce((x, y) => x * y, 1),
      seed,
    ),
    shape,
    dtype,
  );

/** m, n, k: below, at and beyond fragments, tiles and the depth of a tile, odd and even; thin ones and deep ones. */
const SHAPES = [
  [1, 1, 1],
  [7, 5, 3],
  [7, 6, 0],
  [16, 16, 16],
  [33, 70, 31],
  [130, 257, 65],
  [200, 8, 264],
  [8, 200, 136],
  [70, 16, 1000],
  [16, 136, 1032],
  [1500, 1300, 72],
  [2100, 2176, 96],
];

/**
 * Rows of the shapes that are tried with a transposed a too, and of those that are tried with every kind of result: each
 * is more kernels to compile.
 */
const TURNED = [7, 130, 200, 8, 70, 2100];
const RESULTS = [7, 16, 130, 2100];

describe(path, () => {
  for (const [m, n, k] of SHAPES)
    for (const transposeA of TURNED.includes(m) ? [false, true] : [false])
      for (const transposeB of [false, true])
        test.skipIf(!units && (transposeA || ![7, 16].includes(m) || n === 16))(
          `${m}x${n}x${k} ${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}`,
          async () => {
            await device.scopeAsync(async () => {
              const a = random(1, transposeA ? [k, m] : [m, k]);
              const b = random(2, transposeB ? [n, k] : [k, n]);
              const addend = random(3, [m, n], 'f32');
              const options = { a, b, transposeA, transposeB, alpha: 0.5, addend } as const;
              const portable = await gemm({ ...options, dtype: 'f32', path: 'portable' }).numbers();
              const result = await gemm({ ...options, dtype: 'f32', path }).numbers();
              compare('against portable', result, portable, ORDER);
              if (!RESULTS.includes(m)) return;
              const half = gemm({ ...options, addend: castTo(addend, 'f16'), dtype: 'f16', path });
              compare('f16 result', await half.numbers(), portable, HALF);
              const into = Tensor.empty(device, [m, n]);
              device.copy(addend, into);
              const collected = gemm({ ...options, addend: into, into, dtype: 'f32', path });
              expect(await collected.numbers()).toEqual(result);
            });
          },
        );

  test.skipIf(!units).each([
    ['many small matrices', 3, 40, 48, 24],
    ['large tiles', 256, 70, 77, 40],
  ])('batches: %s', async (_, batch, m, n, k) => {
    await device.scopeAsync(async () => {
      const [a, b] = [random(1, [batch, m, k]), random(2, [batch, k, n])];
      const run = (which: GemmPath) => gemm({ a, b, dtype: 'f32', path: which }).numbers();
      compare('batch', await run(path), await run('portable'), ORDER);
    });
  });

  for (const transposeB of [false, true])
    for (const r of [16, 3])
      test.skipIf(!units && r !== 16)(`a rider of depth ${r}, ${transposeB ? 'NT' : 'NN'}`, async () => {
        await device.scopeAsync(async () => {
          const [m, n, k] = [units ? 150 : 12, 136, 72];
          const a = random(1, [m, k]);
          const b = random(2, transposeB ? [n, k] : [k, n]);
          const rider = { a: random(3, [m, r]), b: random(4, transposeB ? [n, r] : [r, n]) };
          const run = (which: GemmPath, dtype: 'f32' | 'f16') => gemm({ a, b, rider, transposeB, dtype, path: which });
          const expected = await run('portable', 'f32').numbers();
          compare('rider', await run(path, 'f32').numbers(), expected, ORDER);
          compare('rider, f16', await run(path, 'f16').numbers(), expected, HALF);
        });
      });

  // Quantised weights come in tiles: widths that are no multiples of a tile, and one that has no tiles at all.
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
            compare(`${m} rows`, await result.numbers(), await expected.numbers(), ORDER);
          }
        });
      });
});

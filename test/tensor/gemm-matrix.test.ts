import { describe, expect, test } from 'vitest';
import { castTo, copyOf } from '../../src/tensor/copy.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const reason = usableMatrixShape(device.capabilities)
  ? ''
  : ' (skipped: this adapter has no 16x16x16 f16 matrix units)';

/** m, n, k: below, at and beyond fragments, tiles and the depth of a tile, odd and even. */
const SHAPES = [
  [1, 1, 1],
  [7, 5, 3],
  [16, 16, 16],
  [33, 70, 31],
  [64, 64, 32],
  [130, 257, 65],
  [200, 8, 264],
  [8, 200, 136],
  [1500, 1300, 72],
];

describe.skipIf(reason !== '')(`matrix units${reason}`, () => {
  for (const [m, n, k] of SHAPES)
    for (const transposeA of [false, true])
      for (const transposeB of [false, true])
        test(`${m}x${n}x${k} ${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}`, async () => {
          await device.scopeAsync(async () => {
            const a = Tensor.from(device, normals(m * k, 1), transposeA ? [k, m] : [m, k], 'f16');
            const b = Tensor.from(device, normals(k * n, 2), transposeB ? [n, k] : [k, n], 'f16');
            const addend = Tensor.from(device, normals(m * n, 3), [m, n], 'f32');
            const options = { a, b, transposeA, transposeB, alpha: 0.5, addend } as const;
            const matrix = gemm({ ...options, dtype: 'f32', path: 'matrix' });
            const portable = gemm({ ...options, dtype: 'f32', path: 'portable' });
            // Products of f16 are exact in f32; sums in another order differ by rounding alone.
            compare('matrix against portable', await matrix.numbers(), await portable.numbers(), 1e-5);
            const half = gemm({ ...options, addend: castTo(addend, 'f16'), dtype: 'f16', path: 'matrix' });
            compare('f16 result', await half.numbers(), await portable.numbers(), 2e-3);
            const again = gemm({ ...options, dtype: 'f32', path: 'matrix' });
            expect(await again.numbers()).toEqual(await matrix.numbers());
            const into = copyOf(addend);
            gemm({ ...options, addend: into, into, dtype: 'f32', path: 'matrix' });
            expect(await into.numbers()).toEqual(await matrix.numbers());
          });
        });

  test('batches', async () => {
    await device.scopeAsync(async () => {
      const a = Tensor.from(device, normals(3 * 40 * 24, 1), [3, 40, 24], 'f16');
      const b = Tensor.from(device, normals(3 * 24 * 48, 2), [3, 24, 48], 'f16');
      const run = (path: 'matrix' | 'portable') => gemm({ a, b, dtype: 'f32', path }).numbers();
      compare('batch', await run('matrix'), await run('portable'), 1e-5);
    });
  });
});

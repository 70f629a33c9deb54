import { expect, test } from 'vitest';
import { castTo } from '../../src/tensor/copy.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare } from './check-op.ts';
import { testDevice } from './device.ts';
import { path, random, units } from './matrix-products.ts';
import { OPERATION_TOLERANCE } from './operation-tolerances.ts';

const device = await testDevice();

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

/** Tests products of all shapes on matrix units; in files of their own by order, which run side by side on a GPU. */
export function testShapes(transposeA: boolean): void {
  for (const [m, n, k] of SHAPES)
    if (!transposeA || TURNED.includes(m))
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
              compare('against portable', result, portable, OPERATION_TOLERANCE.f32);
              if (!RESULTS.includes(m)) return;
              const half = gemm({ ...options, addend: castTo(addend, 'f16'), dtype: 'f16', path });
              compare('f16 result', await half.numbers(), portable, OPERATION_TOLERANCE.f16);
              const into = Tensor.empty(device, [m, n]);
              device.copy(addend, into);
              const collected = gemm({ ...options, addend: into, into, dtype: 'f32', path });
              expect(await collected.numbers()).toEqual(result);
            });
          },
        );
}

import { describe, expect, test } from 'vitest';
import { copyOf } from '../../src/tensor/copy.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { combinations } from '../../src/tensor/variants.ts';
import { compare, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';
import { OPERATION_TOLERANCE } from '../support/operation-tolerances.ts';

const device = await testDevice();
type Float = 'f32' | 'f16';

/** Index of an element of a matrix that may be stored transposed. */
const at = (rows: number, columns: number, transposed: boolean, i: number, j: number) =>
  transposed ? j * rows + i : i * columns + j;

interface Options {
  m: number;
  n: number;
  k: number;
  /** Batches of a, and of b: 1 stands for all. */
  batch?: [number, number];
  transposeA?: boolean;
  transposeB?: boolean;
  dtypes?: Record<string, string>;
  on?: typeof device;
}

/** Holds a product to loops in double precision over the values as stored. */
async function check({
  m,
  n,
  k,
  batch = [1, 1],
  transposeA = false,
  transposeB = false,
  dtypes = {},
  on = device,
}: Options) {
  const { A = 'f32', B = 'f32', C = 'f32', Y = 'f32' } = dtypes as Record<string, Float>;
  await on.scopeAsync(async () => {
    const count = Math.max(...batch);
    const a = Tensor.from(on, normals(batch[0] * m * k, 1), [batch[0], ...(transposeA ? [k, m] : [m, k])], A);
    const b = Tensor.from(on, normals(batch[1] * k * n, 2), [batch[1], ...(transposeB ? [n, k] : [k, n])], B);
    const addend = Tensor.from(on, normals(count * m * n, 3), [count, m, n], C);
    const options = { a, b, transposeA, transposeB, dtype: Y, path: 'portable' } as const;
    const sum = await gemm({ ...options, alpha: 0.7, addend }).numbers();
    const product = await gemm(options).numbers();
    const [av, bv, cv] = [await a.numbers(), await b.numbers(), await addend.numbers()];
    const want = [new Float64Array(count * m * n), new Float64Array(count * m * n)];
    for (let i = 0; i < count * m * n; i++) {
      const [z, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
      let dot = 0;
      for (let q = 0; q < k; q++)
        dot +=
          av[(batch[0] === 1 ? 0 : z) * m * k + at(m, k, transposeA, row, q)] *
          bv[(batch[1] === 1 ? 0 : z) * k * n + at(k, n, transposeB, q, column)];
      want[0][i] = 0.7 * dot + cv[i];
      want[1][i] = dot;
    }
    expect(sum.length).toBe(count * m * n);
    compare('with addend', sum, want[0], OPERATION_TOLERANCE[Y]);
    compare('product', product, want[1], OPERATION_TOLERANCE[Y]);
    if (Y === 'f16') return;
    const into = copyOf(addend, 'f32');
    gemm({ ...options, alpha: 0.7, addend: into, into });
    expect(await into.numbers(), 'collected in place').toEqual(sum);
    gemm({ ...options, into });
    expect(await into.numbers(), 'written in place').toEqual(product);
  });
}

const FLOATS = ['f32', 'f16'];
describe('every combination of dtypes, few rows and many', () => {
  test.each(combinations({ A: FLOATS, B: FLOATS, C: FLOATS, Y: FLOATS }))('$A · $B + $C → $Y', async (dtypes) => {
    await check({ m: 3, n: 7, k: 5, dtypes });
    await check({ m: 13, n: 18, k: 9, dtypes });
  });

  test('without shader-f16', async () => {
    const on = await limitedDevice({ without: ['f16'] });
    for (const dtypes of combinations({ A: FLOATS, B: FLOATS, C: ['f16'], Y: ['f16'] }))
      await check({ m: 5, n: 7, k: 3, dtypes, on });
    on.close();
  });
});

/** Around rows and columns of a block, and around lanes of a workgroup. */
const SHAPES = [
  [1, 1, 1],
  [1, 300, 2],
  [3, 65, 17],
  [4, 63, 1],
  [8, 64, 33],
  [9, 257, 3],
  [130, 2, 5],
];
describe.each([
  [false, false],
  [false, true],
  [true, false],
  [true, true],
])('transposed: %s, %s', (transposeA, transposeB) => {
  test.each(SHAPES)('%i×%i×%i', async (m, n, k) => {
    await check({ m, n, k, transposeA, transposeB });
  });

  test.each([[[3, 3]], [[3, 1]], [[1, 3]]] as [[number, number]][])('batches of %j', async (batch) => {
    await check({ m: 5, n: 6, k: 7, batch, transposeA, transposeB });
    await check({ m: 2, n: 3, k: 4, batch, transposeA, transposeB, dtypes: { A: 'f16', B: 'f32', Y: 'f16' } });
  });

  test('operands and results larger than one binding', async () => {
    const on = await limitedDevice({ maxBindingBytes: 4096 });
    for (const [m, n, k] of [
      [90, 20, 24],
      [20, 90, 24],
      [20, 20, 120],
      [70, 70, 24],
      [40, 50, 100],
    ])
      for (const dtypes of [undefined, { A: 'f16', B: 'f16', C: 'f16', Y: 'f16' }])
        await check({ m, n, k, transposeA, transposeB, dtypes, on });
    await check({ m: 40, n: 12, k: 40, batch: [2, 1], transposeA, transposeB, on });
    on.close();
  });
});

test('sums of nothing are the addend, or zero', async () => {
  await check({ m: 3, n: 4, k: 0 });
  await check({ m: 0, n: 4, k: 2 });
});

test('a rider is collected in place with its product', async () => {
  await device.scopeAsync(async () => {
    const random = (seed: number, ...shape: number[]) =>
      Tensor.from(device, normals(shape[0] * shape[1], seed), shape, 'f16');
    const rider = { a: random(1, 7, 3), b: random(2, 3, 10) };
    const options = { a: random(3, 7, 20), b: random(4, 20, 10), rider, dtype: 'f32' } as const;
    const addend = Tensor.from(device, normals(70, 5), [7, 10]);
    const sum = await gemm({ ...options, addend }).numbers();
    gemm({ ...options, addend, into: addend });
    expect(await addend.numbers()).toEqual(sum);
  });
});

test('places that a result does not fit are refused', () => {
  device.scope(() => {
    const zeros = (shape: number[], dtype: Float = 'f32') => Tensor.zeros(device, shape, dtype);
    const options = { a: zeros([2, 3]), b: zeros([3, 4]) };
    for (const into of [zeros([2, 3]), zeros([2, 4], 'f16'), zeros([4, 2]).transpose()])
      expect(() => gemm({ ...options, into, dtype: 'f32' })).toThrow(
        /gemm: into: got .* expected a dense f32 tensor of 8/,
      );
    expect(() => gemm({ ...options, into: zeros([2, 4]), dtype: 'f16' })).toThrow(/a result in f16/);
  });
});

test('the bits of a row do not depend on how many rows there are', async () => {
  await device.scopeAsync(async () => {
    const values = normals(40 * 70, 1);
    const b = Tensor.from(device, normals(70 * 30, 2), [70, 30]);
    const rows = async (count: number) => {
      const a = Tensor.from(device, values.slice(0, count * 70), [count, 70]);
      return gemm({ a, b, dtype: 'f32', path: 'portable' }).numbers();
    };
    const all = await rows(40);
    for (const count of [1, 3, 4, 9]) expect(await rows(count)).toEqual(all.slice(0, count * 30));
  });
});

test.each([
  ['another depth', [2, 3], [5, 4]],
  ['too few rows', [1, 3], [3, 4]],
  ['too few columns', [2, 3], [3, 1]],
  ['batches', [1, 2, 3], [1, 3, 4]],
])('a rider with %s is refused', (_, first, second) => {
  device.scope(() => {
    const [a, b] = [Tensor.zeros(device, [2, 2]), Tensor.zeros(device, [2, 4])];
    const rider = { a: Tensor.zeros(device, first), b: Tensor.zeros(device, second) };
    expect(() => gemm({ a, b, rider, dtype: 'f32' })).toThrow(/^gemm: rider: got f32/);
  });
});

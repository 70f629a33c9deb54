import { describe, expect, test } from 'vitest';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { type Gemm, gemm } from '../../src/tensor/gemm/gemm.ts';
import { inPanels } from '../../src/tensor/panel-matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';
import { path, random, units } from '../support/matrix-products.ts';
import { OPERATION_TOLERANCE } from '../support/operation-tolerances.ts';

const device = await testDevice();

/** Which operands come in panels, and sizes: whole tiles, and rows that end within one. */
interface Case {
  panels: 'a' | 'b' | 'ab';
  transposeA?: boolean;
  m: number;
  n: number;
  k: number;
  r?: number;
  /** Every kind of result is tried. */
  results?: boolean;
}

const FEW: Case[] = [
  { panels: 'a', m: 128, n: 16, k: 384, r: 16, results: true },
  { panels: 'a', m: 133, n: 72, k: 512 },
  { panels: 'a', transposeA: true, m: 128, n: 16, k: 256 },
  { panels: 'a', transposeA: true, m: 256, n: 24, k: 133 },
  { panels: 'b', transposeA: true, m: 16, n: 256, k: 128 },
  { panels: 'ab', transposeA: true, m: 256, n: 128, k: 131 },
];
/** With matrix units alone: a software driver compiles each kernel for many seconds. */
const MORE: Case[] = [
  { panels: 'a', m: 256, n: 128, k: 128, r: 16, results: true },
  { panels: 'a', m: 130, n: 16, k: 128, results: true },
  { panels: 'a', m: 300, n: 200, k: 640, r: 40, results: true },
  { panels: 'b', transposeA: true, m: 40, n: 128, k: 157, results: true },
  { panels: 'ab', transposeA: true, m: 128, n: 384, k: 160, results: true },
];

function operands({ panels, transposeA = false, m, n, k, r }: Case) {
  const a = random(1, transposeA ? [k, m] : [m, k]);
  const b = random(2, [k, n]);
  const rider = r ? { a: random(3, [m, r]), b: random(4, [r, n]) } : undefined;
  const given = {
    a: panels.includes('a') ? inPanels([a]) : a,
    b: panels.includes('b') ? inPanels([b]) : b,
  };
  return { a, b, rider, given };
}

async function numbersOf(x: Tensor): Promise<Float32Array> {
  return (await x.numbers()) as Float32Array;
}

/** alpha · op(a) · b + rider + addend in double precision. */
async function reference({ m, n, k, transposeA = false, r = 0 }: Case, options: Gemm): Promise<Float64Array> {
  const { a, b, rider, addend, alpha = 1 } = options;
  const [left, right] = [await numbersOf(a), await numbersOf(b)];
  const thin = rider && [await numbersOf(rider.a), await numbersOf(rider.b)];
  const sum = addend ? Float64Array.from(await numbersOf(addend)) : new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let own = 0;
      for (let q = 0; q < k; q++) own += left[transposeA ? q * m + i : i * k + q] * right[q * n + j];
      sum[i * n + j] += alpha * own;
      if (thin) for (let q = 0; q < r; q++) sum[i * n + j] += thin[0][i * r + q] * thin[1][q * n + j];
    }
  return sum;
}

describe(path, () => {
  test.each([...FEW, ...(units ? MORE : [])])('%j', async (each) => {
    await device.scopeAsync(async () => {
      const { m, n, transposeA } = each;
      const { a, b, rider, given } = operands(each);
      const addend = random(5, [m, n], 'f32');
      const plain = { transposeA, rider, addend, dtype: 'f32', path } as const;
      const expected = await reference(each, { ...plain, a, b });
      const [command] = await device.profile(() => device.scope(() => void gemm({ ...plain, ...given })));
      expect(command).toMatchObject({
        defines: { A_PANELS: each.panels.includes('a') ? 1 : 0, B_PANELS: String(each.panels.includes('b')) },
      });
      compare('f32', await gemm({ ...plain, ...given }).numbers(), expected, OPERATION_TOLERANCE.f32);
      if (!each.results) return;
      const half = await gemm({ ...plain, ...given, dtype: 'f16' }).numbers();
      compare('f16', half, expected, OPERATION_TOLERANCE.f16);
      const into = Tensor.empty(device, [m, n]);
      device.copy(addend, into);
      const collected = await gemm({ ...plain, ...given, addend: into, into }).numbers();
      compare('collected', collected, expected, OPERATION_TOLERANCE.f32);
    });
  });

  for (const transposeB of units ? [false, true] : [true])
    test(`beside a frozen weight in panels, ${transposeB ? 'NT' : 'NN'}`, async () => {
      await device.scopeAsync(async () => {
        const [m, n, k] = [140, 72, 128];
        const a = random(1, [m, k]);
        const b = quantizeNf4(random(2, transposeB ? [n, k] : [k, n], 'f32'));
        const options = { b, transposeB, dtype: 'f32', path } as const;
        const expected = await gemm({ ...options, a, b: b.dense('f16'), path: 'portable' }).numbers();
        const result = await gemm({ ...options, a: inPanels([a]) }).numbers();
        compare('panels', result, expected, OPERATION_TOLERANCE.f32);
      });
    });

  test('rows are taken where operands exceed a binding', async () => {
    const limited = await limitedDevice({ maxBindingBytes: 1 << 16 });
    await limited.scopeAsync(async () => {
      const a = Tensor.from(limited, await random(1, [128, 128], 'f32').numbers(), [128, 128], 'f16');
      const b = Tensor.from(limited, await random(2, [128, 264], 'f32').numbers(), [128, 264], 'f16');
      const options = { b, dtype: 'f32', path } as const;
      const expected = await gemm({ ...options, a, path: 'portable' }).numbers();
      compare('in parts', await gemm({ ...options, a: inPanels([a]) }).numbers(), expected, OPERATION_TOLERANCE.f32);
    });
    limited.close();
  });
});

import { describe, expect, test } from 'vitest';
import { max, maxOperation, meanOperation, sum, sumOperation } from '../../src/autograd/ops/reductions.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const SHAPES = [[1], [7], [3, 5], [2, 3, 5], [1, 129, 3], [67, 2], [3, 4099], [2, 131, 37]];

describe.each([sumOperation, meanOperation])('$name', (op) => {
  test.each(['f32', 'f16'] as const)('%s, over each dimension and over all', async (dtype) => {
    const device = await testDevice();
    for (const shape of SHAPES)
      for (const dim of [undefined, ...shape.keys()])
        for (const keepdim of [false, true])
          await checkOp(op, { device, inputs: [{ shape, dtype }], attributes: { dim, keepdim }, probes: 12 });
  });

  test('more than one binding holds', async () => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    for (const shape of [
      [61, 67],
      [3, 2000],
      [2, 5, 701],
      [1, 3, 1500],
    ])
      for (const dim of [undefined, ...shape.keys()])
        for (const dtype of ['f32', 'f16'] as const)
          await checkOp(op, { device, inputs: [{ shape, dtype }], attributes: { dim }, probes: 4 });
    device.close();
  });
});

test.each([
  ['all elements', undefined, [1_000_003]],
  ['long rows', 1, [2, 500_001]],
  ['long columns', 0, [200_003, 5]],
  ['many columns', 0, [251, 4099]],
])('sums of a million terms stay within 3e-7 of their absolute sum: %s', async (_, dim, shape) => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    // Positive numbers with a common offset: the case in which a plain running sum in f32 is off by 1e-4.
    const values = normals(shape.reduce((a, b) => a * b)).map((x) => Math.fround(1000 + x));
    const y = await sum(Tensor.from(device, values, shape), { dim }).numbers();
    const expected = new Float64Array(y.length);
    const width = shape.length > 1 ? shape[1] : 1;
    for (const [i, x] of values.entries())
      expected[dim === undefined ? 0 : dim === 1 ? Math.floor(i / width) : i % width] += x;
    for (const [i, total] of expected.entries()) expect(Math.abs(y[i] - total) / total).toBeLessThan(3e-7);
  });
});

test('the same sum has the same bits', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const x = Tensor.from(device, normals(300_007));
    const first = await sum(x).item();
    for (let k = 0; k < 3; k++) expect(await sum(x).item()).toBe(first);
  });
});

describe('max', () => {
  test.each(['f32', 'f16'] as const)('%s', async (dtype) => {
    const device = await testDevice();
    // Values of one maximum are distinct, farther apart than the steps of the finite differences.
    const values = (i: number) => ((i * 89) % 251) / 128 - 1;
    for (const shape of SHAPES.filter((s) => s.at(-1)! < 4000))
      for (const dim of shape.keys())
        for (const keepdim of [false, true])
          await checkOp(maxOperation, {
            device,
            inputs: [{ shape, dtype, values }],
            attributes: { dim, keepdim },
            probes: 12,
          });
  });

  test('the gradient goes to the first of equal elements', async () => {
    const device = await testDevice();
    const { withTape } = await import('../../src/autograd/recording.ts');
    const { Tape } = await import('../../src/autograd/tape.ts');
    await device.scopeAsync(async () => {
      const values = new Float32Array(200).fill(-1);
      for (const at of [70, 71, 135, 199]) values[at] = 3;
      const x = Tensor.from(device, values);
      x.requires_grad = true;
      const tape = new Tape();
      tape.backward(withTape(tape, () => max(x, 0, true)));
      const gradient = await x.grad!.numbers();
      expect([...gradient.entries()].filter(([, g]) => g !== 0)).toEqual([[70, 1]]);
      x.grad!.dispose();
    });
  });

  test('negative values, infinities and NaN', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const of = (...values: number[]) => max(Tensor.from(device, values), 0, true).item();
      expect(await of(-5, -3, -4)).toBe(-3);
      expect(await of(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY)).toBe(Number.NEGATIVE_INFINITY);
      expect(await of(1, Number.POSITIVE_INFINITY, 2)).toBe(Number.POSITIVE_INFINITY);
      expect(await of(1, Number.NaN, 2)).toBeNaN();
      expect(await of(Number.NaN, Number.POSITIVE_INFINITY)).toBeNaN();
    });
  });
});

test('refuses dimensions that do not exist and empty maxima', async () => {
  const device = await testDevice();
  device.scope(() => {
    const x = Tensor.zeros(device, [2, 0]);
    expect(() => sum(x, { dim: 2 })).toThrow(/^sum: got dimension 2 of shape \[2,0\], expected .*; /);
    expect(() => max(x, 1)).toThrow(/^max: .*at least one element/);
  });
});

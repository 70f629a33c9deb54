import { describe, expect, test } from 'vitest';
import { dropout, dropoutOperation, isDropped } from '../../src/autograd/ops/dropout.ts';
import { rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { ropeOperation } from '../../src/autograd/ops/rope.ts';
import { swiglu, swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { RopeTable } from '../../src/autograd/rope-table.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

describe.each(['f32', 'f16'] as const)('%s', (dtype) => {
  test.each([[[1, 3]], [[3, 7]], [[67, 5]], [[5, 2, 33]], [[130, 129]]])('rmsNorm %j', async (shape) => {
    const inputs = [{ shape, dtype }, { shape: shape.slice(-1) }];
    await checkOp(rmsNormOperation, { device: await testDevice(), inputs, attributes: { eps: 1e-5 }, probes: 20 });
    await checkOp(rmsNormOperation, {
      device: await testDevice(),
      inputs,
      attributes: { eps: 0.1, dtype: 'f16' },
      probes: 20,
      slack: dtype === 'f32' ? 200 : 1,
    });
  });

  test('rmsNorm with a weight in f16', async () => {
    for (const shape of [
      [3, 7],
      [70, 6],
    ])
      for (const out of ['f32', 'f16'] as const)
        await checkOp(rmsNormOperation, {
          device: await testDevice(),
          inputs: [
            { shape, dtype },
            { shape: shape.slice(-1), dtype: 'f16' },
          ],
          attributes: { eps: 1e-5, dtype: out },
          probes: 12,
        });
  });

  test.each([
    [1, 1, 2],
    [5, 3, 6],
    [9, 2, 64],
  ])('rope %i tokens, %i heads of %i', async (tokens, heads, size) => {
    const device = await testDevice();
    const table = new RopeTable(
      device,
      Float64Array.from({ length: size / 2 }, (_, i) => 500_000 ** ((-2 * i) / size)),
    );
    table.upTo(1);
    await device.scopeAsync(async () => {
      // Large positions: angles of thousands of turns.
      const positions = Indices.from(
        device,
        Array.from({ length: tokens }, (_, i) => (i % 2 === 0 ? i : 8191 - i)),
      );
      table.upTo(8192);
      await checkOp(ropeOperation, {
        device,
        inputs: [{ shape: [tokens, heads, size], dtype }],
        attributes: { table, positions },
      });
    });
    table.dispose();
  });

  test.each([[[1]], [[7]], [[5, 13]], [[64, 33]]])('swiglu %j', async (shape) => {
    await checkOp(swigluOperation, {
      device: await testDevice(),
      inputs: [
        { shape, dtype },
        { shape, dtype },
      ],
      attributes: undefined,
    });
  });

  test('dropout', async () => {
    for (const shape of [[1], [13], [31, 7]])
      await checkOp(dropoutOperation, {
        device: await testDevice(),
        inputs: [{ shape, dtype }],
        attributes: { p: 0.3, seed: 77 },
      });
  });

  test('without shader-f16', async () => {
    const device = await limitedDevice({ without: ['f16'] });
    await checkOp(swigluOperation, {
      device,
      inputs: [
        { shape: [5, 13], dtype },
        { shape: [5, 13], dtype },
      ],
      attributes: undefined,
    });
    await checkOp(rmsNormOperation, {
      device,
      inputs: [{ shape: [5, 13], dtype }, { shape: [13] }],
      attributes: { eps: 1e-5 },
    });
    device.close();
  });
});

test('swiglu clamps what f16 cannot hold and lets NaN through', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const gate = Tensor.from(device, [60000, 60000, Number.NaN], [3], 'f16');
    const up = Tensor.from(device, [60000, -60000, 1], [3], 'f16');
    expect([...(await swiglu(gate, up).numbers())]).toEqual([65504, -65504, Number.NaN]);
  });
});

test('dropout masks look random', async () => {
  const count = 100_000;
  for (const [p, seed] of [
    [0.1, 1],
    [0.5, 2],
  ]) {
    const dropped = Array.from({ length: count }, (_, i) => (isDropped(i, { p, seed }) ? 1 : 0));
    const mean = dropped.reduce((sum: number, d) => sum + d, 0) / count;
    // Five standard deviations of a fair coin of that weight.
    const bound = 5 * Math.sqrt((p * (1 - p)) / count);
    expect(Math.abs(mean - p)).toBeLessThan(bound);
    const pairs = dropped.reduce((sum: number, d, i) => sum + d * (dropped[i + 1] ?? 0), 0) / count;
    expect(Math.abs(pairs - p * p)).toBeLessThan(bound);
    const other = dropped.filter((d, i) => d === 1 && isDropped(i, { p, seed: seed + 100 })).length / count;
    expect(Math.abs(other - p * p)).toBeLessThan(bound);
  }
});

test('dropout of nothing is the tensor itself, and of everything an error', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const x = Tensor.zeros(device, [3]);
    expect(dropout(x, { p: 0, seed: 1 })).toBe(x);
    expect(() => dropout(x, { p: 1, seed: 1 })).toThrow(/dropout: got p = 1/);
  });
});

import { describe, expect, test } from 'vitest';
import { dropout, dropoutOperation, isDropped } from '../../src/autograd/ops/dropout.ts';
import { add, scale } from '../../src/autograd/ops/elementwise.ts';
import { rmsNorm, rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { ropeOperation } from '../../src/autograd/ops/rope.ts';
import { swiglu, swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { RopeTable } from '../../src/autograd/rope-table.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, compare, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';
import { OPERATION_TOLERANCE } from '../support/operation-tolerances.ts';

describe.each(['f32', 'f16'] as const)('%s', (dtype) => {
  // Widths that are multiples of 4 and others; rows for 16, 64 and 256 threads.
  test.each([
    [[1, 3]],
    [[3, 7]],
    [[67, 5]],
    [[5, 2, 33]],
    [[130, 129]],
    [[1, 4]],
    [[67, 20]],
    [[3, 2, 260]],
    [[2, 2052]],
  ])('rmsNorm %j', async (shape) => {
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
      [70, 8],
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

  test.each(['rows', 'plain'] as const)('rmsNorm of a width for both paths: %s', async (path) => {
    for (const out of ['f32', 'f16'] as const)
      await checkOp(rmsNormOperation, {
        device: await testDevice(),
        inputs: [{ shape: [67, 36], dtype }, { shape: [36] }],
        attributes: { eps: 0.1, dtype: out, path },
        probes: 12,
        slack: dtype === 'f32' && out === 'f16' ? 200 : 1,
      });
  });

  // Waiting gradients of a residual stream, and a leaf's over two micro-batches.
  test.each([
    [7, false],
    [20, false],
    [7, true],
    [20, true],
  ])('rmsNorm of width %i adds its gradient to what is collected; of a leaf: %s', async (width, ofLeaf) => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const values = [1, 2, 3].map((seed) => normals(seed === 2 ? width : 6 * width, seed));
      const [x, weight, c] = values.map((v) =>
        Tensor.from(device, v, v.length === width ? [width] : [6, width], v.length === width ? 'f32' : dtype),
      );
      x.requires_grad = true;
      for (let micro = 0; micro < 2; micro++) {
        const tape = new Tape();
        const y = withTape(tape, () => {
          const stream = ofLeaf ? x : scale(x, 1);
          return add(stream, rmsNorm(stream, weight, { eps: 0.1 }));
        });
        tape.backward(y, c);
      }
      const [xs, ws, cs] = await Promise.all([x, weight, c].map(async (t) => Float64Array.from(await t.numbers())));
      const expected = xs.map((_, i) => {
        const row = (v: Float64Array) => v.subarray(i - (i % width), i - (i % width) + width);
        const inverse = 1 / Math.sqrt(row(xs).reduce((sum, v) => sum + v * v, 0) / width + 0.1);
        const dot = row(cs).reduce((sum, v, k) => sum + v * ws[k] * row(xs)[k], 0);
        return 2 * (cs[i] + cs[i] * ws[i % width] * inverse - (xs[i] * dot * inverse ** 3) / width);
      });
      compare('gradient', await x.grad!.numbers(), expected, OPERATION_TOLERANCE[dtype]);
      x.grad!.dispose();
      x.grad = null;
    });
  });

  test.each([
    [1, 1, 2],
    [5, 3, 6],
    [9, 2, 64],
    [3, 5, 8],
    [21, 3, 16],
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
      attributes: {},
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
      attributes: {},
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

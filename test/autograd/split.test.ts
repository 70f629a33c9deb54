import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import { attention, attentionOperation } from '../../src/autograd/ops/attention.ts';
import { dropoutOperation } from '../../src/autograd/ops/dropout.ts';
import { concatOperation, sliceOperation } from '../../src/autograd/ops/join.ts';
import { max, maxOperation } from '../../src/autograd/ops/reductions.ts';
import { rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { ropeOperation } from '../../src/autograd/ops/rope.ts';
import { swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { RopeTable } from '../../src/autograd/rope-table.ts';
import type { Device } from '../../src/tensor/device.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp } from '../support/check-op.ts';
import { limitedDevice } from '../support/device.ts';

// Operations whose tensors exceed one binding, which holds 1,024 f32 here. Launches with a larger binding are refused,
// so that what passes was split. Other files have such tests of linear, matmul, elementwise, cast, permute, sums, embedding
// and cross-entropy.
let device: Device;
beforeAll(async () => {
  device = await limitedDevice({ maxBindingBytes: 4096 });
});
afterAll(() => device.close());

describe.each(['f32', 'f16'] as const)('%s', (dtype) => {
  test.each([[[300, 33]], [[3, 70, 39]], [[3, 70, 40]], [[1300, 3]]])('rmsNorm %j', async (shape) => {
    for (const out of ['f32', 'f16'] as const)
      await checkOp(rmsNormOperation, {
        device,
        inputs: [{ shape, dtype }, { shape: shape.slice(-1) }],
        attributes: { eps: 0.1, dtype: out },
        probes: 8,
        slack: dtype === 'f32' && out === 'f16' ? 200 : 1, // The table's bound is that of the inputs' dtype.
      });
  });

  test('swiglu', async () => {
    const input = { shape: [61, 67], dtype };
    await checkOp(swigluOperation, { device, inputs: [input, input], attributes: {}, probes: 8 });
  });

  test('dropout: the mask is that of the whole tensor', async () => {
    await checkOp(dropoutOperation, {
      device,
      inputs: [{ shape: [61, 67], dtype }],
      attributes: { p: 0.3, seed: 77 },
      probes: 8,
    });
  });

  // Heads of 6: the table exceeds a binding too.
  test.each([
    [280, 3, 2],
    [140, 5, 6],
  ])('rope, %i tokens, %i heads of %i', async (tokens, heads, size) => {
    const table = new RopeTable(
      device,
      Float64Array.from({ length: size / 2 }, (_, i) => 10 ** -i),
    );
    table.upTo(1);
    await device.scopeAsync(async () => {
      const positions = Indices.from(
        device,
        Array.from({ length: tokens }, (_, i) => (i * 37) % 200),
      );
      const input = { shape: [tokens, heads, size], dtype };
      await checkOp(ropeOperation, { device, inputs: [input], attributes: { table, positions }, probes: 12 });
    });
    table.dispose();
  });

  // Groups of 2, 2 and 1 key heads; of 3 and 2, or 2, 2 and 1 where results are stored as f32.
  test.each([
    [40, 10, 5, 6],
    [9, 5, 5, 33],
  ])('attention, %i tokens, %i heads, %i key heads of %i', async (tokens, heads, kvHeads, size) => {
    await device.scopeAsync(async () => {
      await checkOp(attentionOperation, {
        device,
        inputs: [
          { shape: [tokens, heads, size], dtype },
          { shape: [tokens, kvHeads, size], dtype },
          { shape: [tokens, kvHeads, size], dtype },
        ],
        attributes: { ranges: AttentionRanges.packed(device, [5, tokens - 5]), scale: 0.4 },
        probes: 8,
      });
    });
  });

  test('slice', async () => {
    for (const [shape, dim, start, end] of [
      [[5001], 0, 7, 4444],
      [[61, 67], 0, 3, 60],
      [[61, 67], 1, 1, 66],
      [[3, 2, 1501], 0, 1, 2],
      [[3, 2, 1501], 1, 1, 2],
      [[3, 40, 31], 1, 0, 1],
    ] as const)
      await checkOp(sliceOperation, {
        device,
        inputs: [{ shape, dtype }],
        attributes: { dim, start, end },
        probes: 8,
      });
  });

  test.each(['f32', 'f16'] as const)('concat with %s', async (other) => {
    for (const [shapes, dim] of [
      [[[1], [3001], [70]], 0],
      [
        [
          [13, 171],
          [15, 171],
        ],
        0,
      ],
      [
        [
          [3, 2000],
          [3, 1001],
          [3, 1],
        ],
        1,
      ],
      [
        [
          [31, 3, 17],
          [31, 5, 17],
        ],
        1,
      ],
    ] as const)
      await checkOp(concatOperation, {
        device,
        inputs: shapes.map((shape, i) => ({ shape, dtype: i === 1 ? other : dtype })),
        attributes: dim,
        probes: 8,
      });
  });

  test('max', async () => {
    const values = (i: number) => ((i * 89) % 251) / 128 - 1;
    for (const shape of [
      [61, 67],
      [3, 7, 101],
      [120, 2, 9],
    ])
      for (const dim of shape.keys())
        await checkOp(maxOperation, { device, inputs: [{ shape, dtype, values }], attributes: { dim }, probes: 8 });
  });
});

test('what cannot be cut is named', () => {
  device.scope(() => {
    expect(() => max(Tensor.zeros(device, [3, 2000]), 1)).toThrow(/^rowParts: got rows of 8000 bytes/);
    const [q, k] = [Tensor.zeros(device, [30, 4, 20]), Tensor.zeros(device, [30, 2, 20])];
    expect(() => attention(q, k, k, { ranges: AttentionRanges.packed(device, [30]) })).toThrow(
      /^attention: got 30 queries and 30 keys: 4800 bytes for one key head and its query heads/,
    );
  });
});

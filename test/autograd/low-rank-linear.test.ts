import { describe, expect, test } from 'vitest';
import { lowRankLinear, lowRankLinearOperation } from '../../src/autograd/ops/low-rank-linear.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

/** tokens, in, out, rank: ones, primes, multiples of tiles and their neighbours, a rank above the widths. */
const SHAPES = [
  [1, 1, 1, 1],
  [1, 7, 5, 3],
  [3, 17, 2, 2],
  [13, 33, 31, 5],
  [64, 32, 64, 16],
  [37, 8, 16, 24],
  [2, 130, 66, 7],
];

describe.each(['f32', 'f16'] as const)('lowRankLinear %s', (dtype) => {
  test.each(SHAPES)('%i tokens, %i to %i, rank %i', async (tokens, width, out, r) => {
    const device = await testDevice();
    const x = { shape: [tokens, width], dtype };
    const thin = [{ shape: [r, width] }, { shape: [out, r] }];
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [x, { shape: [out, width], dtype }, ...thin],
      attributes: { scale: 0.7 },
      probes: 16,
    });
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [x, { shape: [out, width], nf4: true }, ...thin, { shape: [tokens, out] }],
      attributes: { scale: 1.3, dtype: 'f32' },
      probes: 16,
    });
  });

  test('matrices in half precision, without shader-f16', async () => {
    const device = await limitedDevice({ without: ['f16'] });
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [
        { shape: [5, 12], dtype },
        { shape: [9, 12], dtype: 'f16', differentiable: false },
        { shape: [4, 12], dtype: 'f16' },
        { shape: [9, 4], dtype: 'f16' },
        { shape: [5, 9], dtype },
      ],
      attributes: { scale: 2 },
    });
    device.close();
  });
});

test('operands larger than one binding are cut', async () => {
  const device = await limitedDevice({ maxBindingBytes: 4096 });
  await checkOp(lowRankLinearOperation, {
    device,
    inputs: [{ shape: [70, 24] }, { shape: [90, 24] }, { shape: [6, 24] }, { shape: [90, 6] }, { shape: [70, 90] }],
    attributes: { scale: 1.5 },
    probes: 12,
  });
  device.close();
});

test('what the wanted gradients need is kept and nothing else', () => {
  const keeps = (needs: boolean[]) => lowRankLinearOperation.keeps(needs, { scale: 1 }).inputs;
  expect(keeps([false, false, true, true])).toEqual([0, 3]);
  expect(keeps([true, false, true, true])).toEqual([0, 1, 2, 3]);
  expect(keeps([true, false, false, false, true])).toEqual([1, 2, 3]);
});

test('shapes that do not fit are named', async () => {
  const device = await testDevice();
  device.scope(() => {
    const zeros = (...shape: number[]) => Tensor.zeros(device, shape);
    const call = (a: Tensor, b: Tensor) => () => lowRankLinear(zeros(2, 3), zeros(4, 3), a, b, { scale: 1 });
    expect(call(zeros(2, 5), zeros(4, 2))).toThrow(/lowRankLinear: got A of shape \[2,5\], expected \[r, in\].*in=3/);
    expect(call(zeros(2, 3), zeros(4, 1))).toThrow(/lowRankLinear: got B of shape \[4,1\], expected \[out, r\].*r=2/);
  });
});

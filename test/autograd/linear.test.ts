import { describe, expect, test } from 'vitest';
import { linear, linearOperation } from '../../src/autograd/ops/linear.ts';
import { matmulOperation } from '../../src/autograd/ops/matmul.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

/** tokens, in, out: ones, primes, multiples of tiles and their neighbours. */
const SHAPES = [
  [1, 1, 1],
  [1, 7, 5],
  [3, 17, 2],
  [13, 33, 31],
  [64, 32, 64],
  [37, 8, 16],
  [2, 130, 66],
];

describe.each(['f32', 'f16'] as const)('linear %s', (dtype) => {
  test.each(SHAPES)('%i tokens, %i to %i', async (tokens, width, out) => {
    const device = await testDevice();
    const [x, w, r] = [
      [tokens, width],
      [out, width],
      [tokens, out],
    ];
    await checkOp(linearOperation, {
      device,
      inputs: [
        { shape: x, dtype },
        { shape: w, dtype },
      ],
      attributes: {},
      probes: 24,
    });
    await checkOp(linearOperation, {
      device,
      inputs: [{ shape: x, dtype }, { shape: w }, { shape: r }],
      attributes: { scale: 0.7, dtype: 'f32' },
      probes: 24,
    });
  });

  test('without shader-f16', async () => {
    const device = await limitedDevice({ without: ['f16'] });
    await checkOp(linearOperation, {
      device,
      inputs: [
        { shape: [5, 12], dtype },
        { shape: [9, 12], dtype },
      ],
      attributes: {},
    });
    device.close();
  });
});

test('a frozen weight gets no gradient and keeps no input', () => {
  expect(linearOperation.keeps([true, false], {}).inputs).toEqual([1]);
  expect(linearOperation.keeps([true, true], {}).inputs).toEqual([0, 1]);
});

test('operands larger than one binding are cut', async () => {
  const device = await limitedDevice({ maxBindingBytes: 4096 });
  for (const [tokens, width, out] of [
    [80, 24, 10],
    [3, 24, 90],
    [70, 24, 90],
  ])
    await checkOp(linearOperation, {
      device,
      inputs: [{ shape: [tokens, width] }, { shape: [out, width] }, { shape: [tokens, out] }],
      attributes: { scale: 1.5 },
      probes: 12,
    });
  device.close();
});

test('shapes that do not fit are named', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const x = Tensor.zeros(device, [2, 3]);
    expect(() => linear(x, Tensor.zeros(device, [4, 5]))).toThrow(
      /linear: got x of shape \[2,3\], expected \[2, in\] with out=4, in=5/,
    );
  });
});

const MATMULS = [
  { m: 1, n: 1, k: 1, batch: [] },
  { m: 5, n: 7, k: 3, batch: [2, 3] },
  { m: 65, n: 34, k: 19, batch: [] },
];
describe.each(['f32', 'f16'] as const)('matmul %s', (dtype) => {
  for (const { m, n, k, batch } of MATMULS)
    for (const transposeA of [false, true])
      for (const transposeB of [false, true])
        test(`[${batch}] ${m}x${k}${transposeA ? 'T' : ''} ${k}x${n}${transposeB ? 'T' : ''}`, async () => {
          const a = transposeA ? [...batch, k, m] : [...batch, m, k];
          const b = transposeB ? [...batch, n, k] : [...batch, k, n];
          await checkOp(matmulOperation, {
            device: await testDevice(),
            inputs: [
              { shape: a, dtype },
              { shape: b, dtype },
            ],
            attributes: { transposeA, transposeB, alpha: 1.3 },
            probes: 16,
          });
        });
});

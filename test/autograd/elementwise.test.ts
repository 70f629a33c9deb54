import { describe, test } from 'vitest';
import {
  type BinaryName,
  binaryOperations,
  type UnaryName,
  unaryOperations,
} from '../../src/autograd/ops/elementwise.ts';
import { checkOp } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const SHAPES = [[1], [7], [3, 5], [2, 3, 5, 7], [129, 3]];

/** log and sqrt want positive numbers that stay clear of zero. */
const positive = (i: number) => 0.5 + ((i * 7919) % 97) / 40;

describe.each(Object.keys(unaryOperations) as UnaryName[])('%s', (name) => {
  test.each(['f32', 'f16'] as const)('%s', async (dtype) => {
    const device = await testDevice();
    const values = name === 'log' || name === 'sqrt' ? positive : undefined;
    for (const shape of SHAPES)
      await checkOp(unaryOperations[name], { device, inputs: [{ shape, dtype, values }], attributes: 1.7 });
  });
});

const PAIRS = [
  [[1], [1]],
  [[3, 5], [5]],
  [
    [3, 1],
    [1, 7],
  ],
  [
    [2, 3, 5],
    [3, 1],
  ],
  [[4], [2, 3, 4]],
  [
    [33, 17],
    [33, 17],
  ],
];

describe.each(Object.keys(binaryOperations) as BinaryName[])('%s', (name) => {
  test.each(['f32', 'f16'] as const)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [a, b] of PAIRS)
      await checkOp(binaryOperations[name], {
        device,
        inputs: [
          { shape: a, dtype },
          { shape: b, dtype, values: name === 'div' ? positive : undefined },
        ],
        attributes: undefined,
      });
  });

  test.each([
    ['f32', 'f16'],
    ['f16', 'f32'],
  ] as const)('%s with %s', async (first, second) => {
    const device = await testDevice();
    for (const [a, b] of PAIRS)
      await checkOp(binaryOperations[name], {
        device,
        inputs: [
          { shape: a, dtype: first },
          { shape: b, dtype: second, values: name === 'div' ? positive : undefined },
        ],
        attributes: undefined,
      });
  });

  test('tensors larger than one binding', async () => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    await checkOp(binaryOperations[name], {
      device,
      inputs: [{ shape: [61, 67] }, { shape: [61, 67], values: name === 'div' ? positive : undefined }],
      attributes: undefined,
    });
    device.close();
  });
});

import { describe, expect, test } from 'vitest';
import { cast, castOperation } from '../../src/autograd/ops/cast.ts';
import { concat, concatOperation, slice, sliceOperation } from '../../src/autograd/ops/join.ts';
import { permute, permuteOperation, reshape, reshapeOperation, transpose } from '../../src/autograd/ops/reshape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const DTYPES = ['f32', 'f16'] as const;

describe('cast', () => {
  test.each([
    ['f32', 'f16'],
    ['f16', 'f32'],
  ] as const)('%s to %s', async (from, to) => {
    const device = await testDevice();
    for (const shape of [[1], [7], [3, 5], [129, 3]])
      await checkOp(castOperation, { device, inputs: [{ shape, dtype: from }], attributes: to, slack: 200 });
  });

  test('hands a tensor of that dtype through', async () => {
    const device = await testDevice();
    device.scope(() => {
      const x = Tensor.zeros(device, [3]);
      expect(cast(x, 'f32')).toBe(x);
    });
  });
});

describe('reshape', () => {
  test.each(DTYPES)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [from, to] of [
      [[6], [2, 3]],
      [[3, 5], [15]],
      [[1], []],
      [
        [2, 3, 5],
        [5, 6],
      ],
    ])
      await checkOp(reshapeOperation, { device, inputs: [{ shape: from, dtype }], attributes: to });
  });

  test('refuses another number of elements', async () => {
    const device = await testDevice();
    device.scope(() => {
      expect(() => reshape(Tensor.zeros(device, [6]), [4])).toThrow(/^reshape: got shape \[4\].*6 elements/);
    });
  });
});

describe('permute', () => {
  test.each(DTYPES)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [shape, order] of [
      [[7], [0]],
      [
        [3, 5],
        [1, 0],
      ],
      [
        [2, 3, 5],
        [2, 0, 1],
      ],
      [
        [2, 3, 5, 7],
        [0, 2, 1, 3],
      ],
      [
        [2, 3, 5, 7],
        [3, 1, 0, 2],
      ],
      [
        [2, 1, 3, 2, 5],
        [4, 1, 0, 2, 3],
      ],
    ])
      await checkOp(permuteOperation, { device, inputs: [{ shape, dtype }], attributes: order });
  });

  test('transpose swaps the last two dimensions', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const x = Tensor.from(device, [1, 2, 3, 4, 5, 6], [2, 3]);
      expect([...(await transpose(x).numbers())]).toEqual([1, 4, 2, 5, 3, 6]);
    });
  });

  test('refuses orders that are none', async () => {
    const device = await testDevice();
    device.scope(() => {
      const x = Tensor.zeros(device, [2, 3]);
      for (const order of [[0], [0, 0], [1, 2]]) expect(() => permute(x, order)).toThrow(/^permute: got order/);
    });
  });
});

describe('slice', () => {
  test.each(DTYPES)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [shape, dim, start, end] of [
      [[7], 0, 2, 5],
      [[7], 0, 0, 7],
      [[5, 3], 0, 1, 4],
      [[5, 3], 1, 2, 3],
      [[2, 9, 5], 1, 3, 8],
      [[33, 17], 1, 1, 16],
    ] as const)
      await checkOp(sliceOperation, { device, inputs: [{ shape, dtype }], attributes: { dim, start, end } });
  });

  test('refuses ranges outside', async () => {
    const device = await testDevice();
    device.scope(() => {
      const x = Tensor.zeros(device, [2, 3]);
      expect(() => slice(x, 1, 2, 4)).toThrow(/^slice: got 2…4 of dimension 1/);
      expect(() => slice(x, 1, 2, 1)).toThrow(/^slice/);
      expect(() => slice(x, 2, 0, 1)).toThrow(/^slice: got dimension 2/);
      expect(() => slice(x, 0, Number.NaN, 1)).toThrow(/^slice/);
    });
  });
});

describe('concat', () => {
  test.each(DTYPES)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [shapes, dim] of [
      [[[7]], 0],
      [[[2], [5]], 0],
      [
        [
          [3, 5],
          [1, 5],
          [4, 5],
        ],
        0,
      ],
      [
        [
          [3, 5],
          [3, 1],
        ],
        1,
      ],
      [
        [
          [2, 3, 7],
          [2, 5, 7],
          [2, 1, 7],
          [2, 2, 7],
          [2, 4, 7],
        ],
        1,
      ],
    ] as const)
      await checkOp(concatOperation, {
        device,
        inputs: shapes.map((shape) => ({ shape, dtype })),
        attributes: dim,
      });
  });

  test('dtypes may differ', async () => {
    const device = await testDevice();
    await checkOp(concatOperation, {
      device,
      inputs: [{ shape: [3, 5], dtype: 'f16' }, { shape: [2, 5] }, { shape: [1, 5], dtype: 'f16' }],
      attributes: 0,
    });
  });

  test('refuses shapes that do not fit', async () => {
    const device = await testDevice();
    device.scope(() => {
      const of = (...shape: number[]) => Tensor.zeros(device, shape);
      expect(() => concat([of(2, 3), of(2, 4)])).toThrow(/^concat: got shapes \[2,3\] and \[2,4\]/);
      expect(() => concat([of(2, 3), of(3)])).toThrow(/^concat/);
    });
  });
});

test('casts and permutations of tensors larger than one binding', async () => {
  const device = await limitedDevice({ maxBindingBytes: 4096 });
  await checkOp(castOperation, { device, inputs: [{ shape: [61, 67] }], attributes: 'f16', slack: 200 });
  await checkOp(permuteOperation, { device, inputs: [{ shape: [64, 4, 16] }], attributes: [0, 2, 1] });
  device.close();
});

import { describe, expect, test } from 'vitest';
import { Indices } from '../../src/tensor/indices.ts';
import { broadcastShapes } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();

describe('making', () => {
  test('from rounds to the dtype', async () => {
    await device.scopeAsync(async () => {
      const numbers = async (dtype: 'f32' | 'f16' | 'i32' | 'u8', ...values: number[]) => [
        ...(await Tensor.from(device, values, [values.length], dtype).numbers()),
      ];
      expect(await numbers('f32', 0.1, -0)).toEqual([Math.fround(0.1), -0]);
      expect(await numbers('f16', 0.1, 1e6)).toEqual([0.0999755859375, Number.POSITIVE_INFINITY]);
      expect(await numbers('i32', -7.9, 2 ** 30 + 1)).toEqual([-7, 2 ** 30 + 1]);
      expect(await numbers('u8', 255, 3)).toEqual([255, 3]);
      expect((await Tensor.from(device, [1.5, -2], [2], 'f16').data<'f16'>())[1]).toBe(0xc000);
    });
  });

  test('zeros, empty tensors and scalars', async () => {
    await device.scopeAsync(async () => {
      expect([...(await Tensor.zeros(device, [3], 'f16').numbers())]).toEqual([0, 0, 0]);
      expect(await Tensor.zeros(device, [0, 5]).numbers()).toHaveLength(0);
      expect(await Tensor.from(device, [42], []).item()).toBe(42);
    });
  });

  test('refuses counts and shapes that do not fit', async () => {
    expect(() => Tensor.from(device, [1, 2, 3], [2, 2])).toThrow(/^Tensor\.from: got 3 values, expected 4 for shape/);
    expect(() => Tensor.empty(device, [2, -1])).toThrow(/^Tensor\.empty: got shape \[2,-1\]/);
    expect(() => Tensor.empty(device, [1.5])).toThrow(/whole, non-negative sizes/);
    const x = Tensor.zeros(device, [2]);
    await expect(x.item()).rejects.toThrow(/^Tensor\.item: got shape \[2\], expected one element/);
    x.dispose();
  });
});

describe('views', () => {
  test('share the storage', () => {
    device.scope(() => {
      const x = Tensor.zeros(device, [4, 6]);
      const before = device.memory.live;
      for (const y of [x.view([24]), x.slice(0, 1, 2), x.transpose(), x.view([1, 4, 6]).expand([3, 4, 6])])
        expect(y.storage).toBe(x.storage);
      expect(device.memory.live).toBe(before);
    });
  });

  test('know whether kernels can bind them', () => {
    device.scope(() => {
      const x = Tensor.zeros(device, [4, 64]);
      const state = (y: Tensor) => [y.contiguous, y.bindable];
      expect(state(x)).toEqual([true, true]);
      expect(state(x.slice(0, 1, 3))).toEqual([true, true]);
      expect(state(x.slice(1, 0, 3))).toEqual([false, false]);
      expect(state(x.slice(0, 2, 3).slice(1, 1, 60))).toEqual([true, false]);
      expect(state(x.transpose())).toEqual([false, false]);
      expect(state(x.view([4, 1, 64]).transpose(0, 1))).toEqual([true, true]);
    });
  });

  test('refuse what is impossible', () => {
    device.scope(() => {
      const x = Tensor.zeros(device, [4, 6]);
      expect(() => x.view([5, 5])).toThrow(/^Tensor\.view: got shape \[5,5\] of a tensor \[4,6\]/);
      expect(() => x.transpose().view([24])).toThrow(/^Tensor\.view/);
      expect(() => x.slice(1, 3, 7)).toThrow(/^Tensor\.slice: got 3…7 of dimension 1/);
      expect(() => x.slice(2, 0, 1)).toThrow(/^Tensor\.slice/);
      expect(() => x.slice(0, Number.NaN, 1)).toThrow(/^Tensor\.slice/);
      expect(() => x.transpose(0, 2)).toThrow(/^Tensor\.transpose: got dimensions 0 and 2/);
      expect(() => x.expand([4, 5])).toThrow(/^Tensor\.expand/);
      expect(() => x.expand([6])).toThrow(/^Tensor\.expand/);
    });
  });
});

test('indices are known on both sides', async () => {
  await device.scopeAsync(async () => {
    const ids = Indices.from(device, [3, -100, 128255]);
    expect(ids.length).toBe(3);
    expect([...(await ids.tensor.numbers())]).toEqual([...ids.host]);
    expect(ids.tensor.dtype).toBe('i32');
  });
});

test('dispose frees a gradient too', () => {
  const before = device.memory.live;
  const x = Tensor.zeros(device, [2]);
  x.grad = Tensor.zeros(device, [2]);
  x.dispose();
  expect(device.memory.live).toBe(before);
});

test('shapes broadcast from the last dimension', () => {
  expect(broadcastShapes('t', [3, 1], [2, 1, 5])).toEqual([2, 3, 5]);
  expect(broadcastShapes('t', [], [4])).toEqual([4]);
  expect(broadcastShapes('t', [0, 1], [1, 3])).toEqual([0, 3]);
  expect(() => broadcastShapes('add', [3], [4])).toThrow(/^add: got shapes \[3\] and \[4\]/);
});

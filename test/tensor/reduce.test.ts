import { expect, test } from 'vitest';
import { BYTES, type DType } from '../../src/tensor/dtype.ts';
import { maxDimension } from '../../src/tensor/maximum.ts';
import { sumAll, sumDimension } from '../../src/tensor/reduce.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();

test.each(Object.keys(BYTES) as DType[])('sums of %s, in f32 whatever the tensor is', (dtype) =>
  device.scopeAsync(async () => {
    const x = Tensor.from(device, new Float32Array(3000).fill(200), [3, 1000], dtype);
    expect(await sumAll(x).item()).toBe(600_000);
    expect([...(await sumDimension(x, 1, 0.5, 'f32').numbers())]).toEqual([100_000, 100_000, 100_000]);
    expect([...(await sumDimension(x, 0, 1, 'f32').numbers())]).toEqual(new Array(1000).fill(600));
  }),
);

test('results keep the dtype unless another is asked for', () =>
  device.scopeAsync(async () => {
    const x = Tensor.from(device, new Float32Array(1000).fill(100), [1, 1000], 'f16');
    expect([sumDimension(x, 1).dtype, await sumDimension(x, 1).item()]).toEqual(['f16', Number.POSITIVE_INFINITY]);
    expect(await sumDimension(x, 1, 1, 'f32').item()).toBe(100_000);
  }));

test('strided and expanded views', () =>
  device.scopeAsync(async () => {
    const x = Tensor.from(device, [1, 2, 3, 4, 5, 6], [2, 3]);
    expect([...(await sumDimension(x.transpose(), 0).numbers())]).toEqual([6, 15]);
    expect([...(await sumDimension(x.slice(1, 1, 3), 1).numbers())]).toEqual([5, 11]);
    expect(await sumAll(Tensor.from(device, [2]).expand([100, 70])).item()).toBe(14_000);
  }));

test('empty dimensions sum to zero', () =>
  device.scopeAsync(async () => {
    expect([...(await sumDimension(Tensor.zeros(device, [3, 0]), 1).numbers())]).toEqual([0, 0, 0]);
    expect(await sumAll(Tensor.zeros(device, [0])).item()).toBe(0);
  }));

test('sums leave no buffers behind', () => {
  const before = device.memory.live;
  device.scope(() => {
    const x = Tensor.zeros(device, [10_007]);
    const start = device.memory.live;
    sumAll(x);
    expect(device.memory.live).toBe(start + 1);
  });
  expect(device.memory.live).toBe(before);
});

test('the place of a maximum is its first', () =>
  device.scopeAsync(async () => {
    const values = Array.from({ length: 3 * 200 }, (_, i) => (i % 200 === 7 || i % 200 > 150 ? 9 : (i % 5) - 20));
    const { values: largest, places } = maxDimension(Tensor.from(device, values, [3, 200]), 1);
    expect([...(await largest.numbers()), ...(await places.numbers())]).toEqual([9, 9, 9, 7, 7, 7]);
  }));

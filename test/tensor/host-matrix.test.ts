import { expect, test } from 'vitest';
import { gatherRows } from '../../src/tensor/gather.ts';
import { toHalf } from '../../src/tensor/half.ts';
import { HostMatrix } from '../../src/tensor/host-matrix.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const shape = [7, 5];
const numbers = Float32Array.from(normals(35));

test.each(['f32', 'f16'] as const)('rows of a matrix in host memory are those of one on the device: %s', (dtype) =>
  device.scopeAsync(async () => {
    const there = new HostMatrix(device, dtype === 'f32' ? numbers : toHalf(numbers), shape);
    const here = Tensor.from(device, numbers, shape, dtype);
    const ids = Indices.from(device, [6, 0, 3, 3, -1, 5]);
    for (const result of ['f32', 'f16'] as const)
      expect(await gatherRows(there, ids, result).numbers()).toEqual(await gatherRows(here, ids, result).numbers());
    expect(await there.numbers()).toEqual(await here.numbers());
    expect(await there.dense('f32').numbers()).toEqual(await here.numbers());
    expect(there.dense('f16').dtype).toBe('f16');
  }),
);

test('it takes no memory on the device and refuses what needs its elements there', () => {
  const before = device.memory.liveBytes;
  const matrix = new HostMatrix(device, numbers, shape);
  expect(device.memory.liveBytes - before).toBeLessThanOrEqual(256);
  const message = /^matrix in host memory \[7,5\]: got .*take dense\(\) first/;
  expect(() => matrix.view()).toThrow(message);
  expect(() => matrix.slice()).toThrow(message);
  expect(() => matrix.transpose()).toThrow(message);
  expect(() => matrix.expand()).toThrow(message);
  matrix.dispose();
  expect(device.memory.liveBytes).toBe(before);
});

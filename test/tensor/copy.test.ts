import { describe, expect, test } from 'vitest';
import { castTo, contiguous, copyOf } from '../../src/tensor/copy.ts';
import type { Device } from '../../src/tensor/device.ts';
import { BYTES, type DType } from '../../src/tensor/dtype.ts';
import { addInto, mapBinary } from '../../src/tensor/elementwise.ts';
import { sizeOf } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const DTYPES = Object.keys(BYTES) as DType[];

/** Numbers that tell elements apart and are exact in the dtype; whole ones beyond the 24 bits of an f32. */
function valueAt(dtype: DType, i: number): number {
  switch (dtype) {
    case 'i32':
      return (i % 2 ? -1 : 1) * (2 ** 30 + i * 7 + 1);
    case 'u32':
      return 2 ** 32 - 1 - i * 7;
    case 'u8':
      return (i * 37) % 256;
    default:
      return ((i * 331) % 2001) - 1000;
  }
}

function filled(device: Device, shape: readonly number[], dtype: DType): Tensor {
  return Tensor.from(
    device,
    Array.from({ length: sizeOf(shape) }, (_, i) => valueAt(dtype, i)),
    shape,
    dtype,
  );
}

/** What a view shows, read element by element from its own strides over the storage's numbers. */
function expected(view: Tensor, dtype: DType): number[] {
  return Array.from({ length: view.size }, (_, i) => {
    let at = view.offset;
    let rest = i;
    for (let d = view.shape.length - 1; d >= 0; d--) {
      at += (rest % view.shape[d]) * view.strides[d];
      rest = Math.floor(rest / view.shape[d]);
    }
    return valueAt(dtype, at);
  });
}

const VIEWS: Record<string, { shape: number[]; view: (x: Tensor) => Tensor }> = {
  whole: { shape: [3, 5], view: (x) => x },
  'slice of the first dimension': { shape: [7, 5], view: (x) => x.slice(0, 2, 5) },
  'slice of the last dimension': { shape: [7, 5], view: (x) => x.slice(1, 1, 4) },
  'unaligned offset': { shape: [67], view: (x) => x.slice(0, 3, 66) },
  'offset of one element': { shape: [9], view: (x) => x.slice(0, 1, 2) },
  transpose: { shape: [5, 7], view: (x) => x.transpose() },
  'transpose of a slice': { shape: [5, 7, 3], view: (x) => x.slice(1, 2, 5).transpose(0, 2) },
  'slice of a transpose': { shape: [5, 7], view: (x) => x.transpose().slice(0, 1, 6).slice(1, 3, 4) },
  expand: { shape: [5, 1], view: (x) => x.expand([2, 5, 3]) },
  'view of a slice': { shape: [6, 4], view: (x) => x.slice(0, 1, 5).view([2, 8]) },
  'four strides': { shape: [3, 4, 5, 6], view: (x) => x.transpose(0, 3).transpose(1, 2) },
  'five dimensions that merge': { shape: [2, 3, 4, 5, 6], view: (x) => x.slice(4, 1, 5) },
  'size 1 in the middle': { shape: [3, 1, 5], view: (x) => x.transpose(0, 1).transpose(1, 2) },
  // Runs of 4 or 8 elements, which threads move at once, and runs that only look like it.
  'columns in eights': { shape: [5, 40], view: (x) => x.slice(1, 8, 24) },
  'columns in fours': { shape: [5, 40], view: (x) => x.slice(1, 4, 16) },
  'columns in fours of odd rows': { shape: [5, 42], view: (x) => x.slice(1, 4, 16) },
  'columns in eights from the middle of a run': { shape: [5, 40], view: (x) => x.slice(1, 2, 18) },
  'rows swapped': { shape: [3, 5, 16], view: (x) => x.transpose(0, 1).slice(0, 1, 4) },
  'rows swapped and cut': { shape: [3, 5, 24], view: (x) => x.transpose(0, 1).slice(2, 8, 24) },
  'repeated rows': { shape: [1, 16], view: (x) => x.expand([3, 16]) },
  scalar: { shape: [1], view: (x) => x.view([]) },
};

describe.each(Object.entries(VIEWS))('%s', (_, { shape, view }) => {
  test.each(DTYPES)('%s', async (dtype) => {
    const device = await testDevice();
    const before = device.memory.live;
    await device.scopeAsync(async () => {
      const x = view(filled(device, shape, dtype));
      expect([...(await x.numbers())]).toEqual(expected(x, dtype));
      const dense = contiguous(x);
      expect([dense.bindable, dense.shape, dense.dtype]).toEqual([true, x.shape, dtype]);
      expect([...(await dense.numbers())]).toEqual(expected(x, dtype));
      if (dtype === 'f32' || dtype === 'f16')
        expect([...(await castTo(x, dtype === 'f32' ? 'f16' : 'f32').numbers())]).toEqual(expected(x, dtype));
    });
    expect(device.memory.live).toBe(before);
  });
});

describe('castTo', () => {
  test('between all dtypes, from views', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      for (const from of DTYPES)
        for (const to of DTYPES) {
          const numbers = Array.from({ length: 35 }, (_, i) => (i * 37) % 128);
          const x = Tensor.from(device, numbers, [5, 7], from).transpose().slice(0, 1, 6);
          const y = castTo(x, to);
          expect(y.dtype).toBe(to);
          const rows = Array.from({ length: 5 }, (_, r) => Array.from({ length: 5 }, (_, c) => numbers[c * 7 + r + 1]));
          expect([...(await y.numbers())]).toEqual(rows.flat());
        }
    });
  });

  test('whole numbers keep their bits, fractions are cut, the ends hold', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const large = Tensor.from(device, [2 ** 31 - 1, -(2 ** 31), 16777217, -1], [4], 'i32');
      expect([...(await castTo(large, 'u32').numbers())]).toEqual([2 ** 31 - 1, 2 ** 31, 16777217, 2 ** 32 - 1]);
      const x = Tensor.from(device, [-1.9, 2.9, 300, -5, 254.5]);
      expect([...(await castTo(x, 'i32').numbers())]).toEqual([-1, 2, 300, -5, 254]);
      expect([...(await castTo(x, 'u8').numbers())]).toEqual([0, 2, 255, 0, 254]);
    });
  });
});

test('more than four strides are refused', async () => {
  const device = await testDevice();
  device.scope(() => {
    const x = Tensor.zeros(device, [2, 3, 2, 3, 2, 3]).transpose(0, 5).transpose(1, 4);
    expect(() => copyOf(x.transpose(2, 3))).toThrow(/^copy: got f32 .*at most four separate strides/);
  });
});

describe('more than one binding holds', () => {
  const BIG: Record<string, { shape: number[]; view: (x: Tensor) => Tensor }> = {
    'unaligned slice': { shape: [5003], view: (x) => x.slice(0, 3, 5000) },
    transpose: { shape: [61, 67], view: (x) => x.transpose() },
    'tall transpose': { shape: [3, 1031], view: (x) => x.transpose() },
    'columns of a matrix': { shape: [61, 67], view: (x) => x.slice(1, 1, 66) },
    'expanded rows': { shape: [1, 1501], view: (x) => x.expand([4, 1501]) },
    'expanded number': { shape: [1], view: (x) => x.expand([5003]) },
    'columns in eights': { shape: [61, 80], view: (x) => x.slice(1, 8, 72) },
    'rows swapped': { shape: [9, 17, 32], view: (x) => x.transpose(0, 1) },
    'three strides': { shape: [5, 17, 33], view: (x) => x.transpose(0, 1).transpose(1, 2) },
  };

  test.each(Object.entries(BIG))('%s', async (_, { shape, view }) => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    await device.scopeAsync(async () => {
      for (const dtype of DTYPES) {
        const x = view(filled(device, shape, dtype));
        const copied = await copyOf(x).numbers();
        const want = expected(x, dtype);
        for (const [i, value] of want.entries()) if (copied[i] !== value) expect([i, copied[i]]).toEqual([i, value]);
        if (dtype === 'f32') expect([...(await copyOf(x, 'f16').numbers())]).toEqual(want);
      }
    });
    device.close();
  });

  test('broadcast operands', async () => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    await device.scopeAsync(async () => {
      for (const [a, b] of [
        [[61, 67], [67]],
        [[67], [61, 67]],
        [
          [61, 67],
          [61, 1],
        ],
        [[5003], [1]],
        [[1], [5003]],
        [
          [1, 9, 31, 32],
          [9, 1, 32],
        ],
        [
          [3, 1500],
          [3, 1],
        ],
      ]) {
        const [x, y] = [filled(device, a, 'f32'), filled(device, b, 'f32')];
        for (const dtype of ['f32', 'f16'] as const) {
          const sum = mapBinary('add', 'a + b', x, y, 0, dtype);
          const [p, q] = [x, y].map((t) => expected(t.expand(sum.shape), 'f32'));
          expect([...(await sum.numbers())]).toEqual(p.map((value, i) => value + q[i]));
        }
      }
      const total = filled(device, [61, 67], 'f32');
      addInto(total, filled(device, [61, 67], 'f16'));
      expect([...(await total.numbers())]).toEqual(expected(total, 'f32').map((x) => 2 * x));
    });
    device.close();
  });
});

test.each(['f32', 'f16'] as const)('sums in place end with the tensor, %s added', async (dtype) => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    for (const count of [1, 2, 3, 4, 5, 1023, 1026]) {
      const whole = Tensor.zeros(device, [count + 4]);
      addInto(whole.slice(0, 0, count), filled(device, [count], dtype));
      const want = Array.from({ length: count + 4 }, (_, i) => (i < count ? valueAt(dtype, i) : 0));
      expect([...(await whole.numbers())]).toEqual(want);
    }
  });
});

test('device.copy and upload refuse what does not fit', async () => {
  const device = await testDevice();
  device.scope(() => {
    const x = Tensor.zeros(device, [4, 4]);
    expect(() => device.copy(x, Tensor.zeros(device, [15]))).toThrow(/^device\.copy: got f32 \[4,4\]/);
    expect(() => device.copy(x.transpose(), Tensor.zeros(device, [16]))).toThrow(/^device\.copy/);
    expect(() => device.upload(Tensor.zeros(device, [2]), new Uint8Array(12))).toThrow(/^device\.upload: got 12 bytes/);
  });
});

import { afterAll, describe, expect, test } from 'vitest';
import { reshape, transpose } from '../../src/autograd/ops/reshape.ts';
import { UserError } from '../../src/errors.ts';
import { dynamicMap } from '../../src/quant/dynamic-map.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { arrayOf, readArrays } from '../../src/reference/files.ts';
import { contiguous } from '../../src/tensor/copy.ts';
import type { Device } from '../../src/tensor/device.ts';
import { toHalf } from '../../src/tensor/half.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';
import { dequantized, nestedReference, nf4Reference } from './nf4-reference.ts';

const arrays = await readArrays('test/reference/nf4.safetensors');

/** NaN in f16 bits, of either sign: hardware differs in which it makes. */
const isHalfNaN = (bits: number) => (bits & 0x7fff) > 0x7c00;

/** Equal to the bit: -0 is not 0, and NaN is NaN. */
function same(name: string, actual: ArrayLike<number> | undefined, expected: ArrayLike<number>): void {
  expect(actual?.length, `${name}: length`).toBe(expected.length);
  for (let i = 0; i < expected.length; i++)
    if (!Object.is(actual?.[i], expected[i]))
      throw new Error(`${name}[${i}]: got ${actual?.[i]}, expected ${expected[i]}`);
}

describe.each(['gauss', 'heavy', 'outliers', 'zeros', 'long'])('bitsandbytes, %s', (name) => {
  const want = (part: string) => arrayOf(arrays, `${name}.${part}`).data;

  test('plain scales', async () => {
    const device = await testDevice();
    const { shape, data } = arrayOf(arrays, `${name}.input`);
    await device.scopeAsync(async () => {
      const weight = quantizeNf4(Tensor.from(device, data, shape), { doubleQuant: false });
      const { packed, absmax } = await weight.parts();
      same('packed', packed, want('packed'));
      same('absmax', absmax, want('absmax'));
      same('dequantised', await weight.numbers(), want('dequant_f32'));
      same('dequantised to f16', await weight.dense('f16').data(), toHalf(want('dequant_f32')));
    });
  });

  test('double quantisation', async () => {
    const device = await testDevice();
    const { shape, data } = arrayOf(arrays, `${name}.input`);
    await device.scopeAsync(async () => {
      const weight = quantizeNf4(Tensor.from(device, data, shape));
      const { packed, absmax, absmax2, code2, offset } = await weight.parts();
      same('packed', packed, want('nested.packed'));
      same('absmax', absmax, want('nested.absmax_u8'));
      same('absmax2', absmax2, want('nested.absmax2'));
      same('code2', code2, want('nested.code2'));
      same('offset', [offset ?? Number.NaN], want('nested.offset'));
      same('dequantised', await weight.numbers(), want('nested.dequant_f32'));
      same('dequantised to f16', await weight.dense('f16').data(), toHalf(want('nested.dequant_f32')));
    });
  });
});

async function againstReference(device: Device, values: Float32Array, blocksize: number): Promise<void> {
  await device.scopeAsync(async () => {
    const x = Tensor.from(device, values);
    const expected = nf4Reference(values, blocksize);
    const plain = quantizeNf4(x, { doubleQuant: false, blocksize });
    const got = await plain.parts();
    same('packed', got.packed, expected.packed);
    same('absmax', got.absmax, expected.absmax);
    const back = dequantized(expected.packed, expected.absmax, values.length, blocksize);
    same('dequantised', await plain.numbers(), back);
    const unsigned = (halves: Uint16Array) => halves.map((bits) => (isHalfNaN(bits) ? 0x7e00 : bits));
    same('f16', unsigned(await plain.dense('f16').data<'f16'>()), unsigned(toHalf(back)));

    const nested = await quantizeNf4(x, { blocksize }).parts();
    const second = nestedReference(expected.absmax);
    same('nested packed', nested.packed, expected.packed);
    same('nested codes', nested.absmax, second.codes);
    same('nested absmax', nested.absmax2, second.absmax2);
    same('nested offset', [nested.offset ?? Number.NaN], [second.offset]);
    const map = dynamicMap(true);
    const scales = Float32Array.from(
      second.codes,
      (code, i) => Math.fround(map[code] * second.absmax2[i >> 8]) + second.offset,
    );
    same(
      'nested dequantised',
      await quantizeNf4(x, { blocksize }).numbers(),
      dequantized(expected.packed, scales, values.length, blocksize),
    );
  });
}

test.each([1, 2, 7, 8, 9, 63, 64, 65, 127, 255, 256, 257, 513, 4095, 4096, 4097, 16385])(
  'any size against plain loops: %i',
  async (count) => {
    const device = await testDevice();
    const before = device.memory.live;
    await againstReference(device, Float32Array.from(normals(count, count)), 64);
    expect(device.memory.live).toBe(before);
  },
);

test.each([32, 128, 256, 512, 1024, 2048, 4096])('blocks of %i', async (blocksize) => {
  const device = await testDevice();
  for (const count of [5, 2 * blocksize + 3, 9000])
    await againstReference(device, Float32Array.from(normals(count, 3)), blocksize);
});

test.each([
  ['constant', () => 0.25],
  ['constant, negative', () => -3],
  ['zero', () => 0],
  ['negative zero', () => -0],
  ['subnormal', (i: number) => (i - 100) * 2 ** -149],
  ['subnormal beside normal', (i: number) => (i % 2 ? 2 ** -120 : 2 ** -130)],
  ['tiny', (i: number) => (i - 100) * 2 ** -126],
  ['huge', (i: number) => (i - 100) * 1e36],
  ['scales of every mantissa', (i: number) => (1 + Math.floor(i / 64) * 0.0137) * Math.cos(i)],
] as const)('odd values: %s', async (_, value) => {
  const device = await testDevice();
  await againstReference(
    device,
    Float32Array.from({ length: 1000 }, (_, i) => value(i)),
    64,
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%d stays visible', async (bad) => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const values = Float32Array.from(normals(300, 8));
    values[70] = bad;
    const plain = await quantizeNf4(Tensor.from(device, values), { doubleQuant: false }).numbers();
    expect(plain.subarray(64, 128).every((x) => Number.isFinite(x))).toBe(false);
    expect(Number.isFinite(plain[70])).toBe(false);
    expect([...plain.subarray(0, 64), ...plain.subarray(128)].every((x) => Number.isFinite(x))).toBe(true);
    const nested = await quantizeNf4(Tensor.from(device, values)).numbers();
    expect(Number.isFinite(nested[70])).toBe(false);
  });
});

test('f16 input gives what its f32 values give', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const half = Tensor.from(device, normals(5001, 4), [5001], 'f16');
    const single = Tensor.from(device, await half.numbers());
    const [a, b] = [await quantizeNf4(half).parts(), await quantizeNf4(single).parts()];
    same('packed', a.packed, b.packed);
    same('absmax', a.absmax, b.absmax);
  });
});

describe('tensors larger than one binding', () => {
  let device: Device | null = null;
  afterAll(() => device?.close());
  test.each([
    [100_000, 64],
    [100_001, 64],
    [66_000, 4096],
  ])('%i elements, blocks of %i', async (count, blocksize) => {
    device ??= await limitedDevice({ maxBindingBytes: 65536 });
    await againstReference(device, Float32Array.from(normals(count, 6)), blocksize);
  });
});

test('lives and dies with its scope as one tensor', async () => {
  const device = await testDevice();
  const before = device.memory.live;
  const kept = device.scope(() => device.persist(quantizeNf4(Tensor.from(device, normals(640, 2), [10, 64]))));
  expect(device.memory.live).toBe(before + 5);
  expect(kept.bytes).toBe(320 + 10 + 4 + 1024 + 4);
  device.scope(() => {
    kept.dense('f16');
  });
  expect(device.memory.live).toBe(before + 5);
  kept.dispose();
  expect(device.memory.live).toBe(before);
});

test('what it cannot do is refused in one line', async () => {
  const device = await testDevice();
  device.scope(() => {
    const x = Tensor.from(device, normals(128, 2), [2, 64]);
    const weight = quantizeNf4(x);
    for (const use of [
      () => weight.view(),
      () => weight.slice(),
      () => weight.transpose(),
      () => weight.expand(),
      () => weight.data(),
      () => contiguous(weight),
      () => reshape(weight, [128]),
      () => transpose(weight),
      () => quantizeNf4(x, { blocksize: 48 }),
      () => quantizeNf4(Tensor.empty(device, [0])),
      () => quantizeNf4(Tensor.empty(device, [4], 'i32')),
    ])
      expect(use).toThrow(UserError);
  });
});

import { describe, expect, test } from 'vitest';
import { castTo, copyOf } from '../../src/tensor/copy.ts';
import { byteLength } from '../../src/tensor/dtype.ts';
import { mapUnary } from '../../src/tensor/elementwise.ts';
import { f16BitsToF32, f32ToF16Bits, fromHalf, toHalf } from '../../src/tensor/half.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';

const HALVES = Uint16Array.from({ length: 65536 }, (_, i) => i);
const isNaNBits = (half: number) => (half & 0x7fff) > 0x7c00;

/** Finite non-negative halves in order, from the definition of the format (IEEE 754-2019, 3.4). */
const LADDER = Array.from({ length: 0x7c00 }, (_, bits) => {
  const exponent = bits >> 10;
  const mantissa = bits & 0x3ff;
  return exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25);
});

/** Rounds by looking for the two neighbours: nothing in common with the code under test. */
function roundByLadder(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const x = Math.abs(value);
  if (x >= 65520) return sign | 0x7c00;
  let low = 0;
  let high = LADDER.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (LADDER[middle] <= x) low = middle;
    else high = middle - 1;
  }
  const next = low + 1 < LADDER.length ? LADDER[low + 1] : 65536;
  const [down, up] = [x - LADDER[low], next - x];
  return sign | (down < up || (down === up && low % 2 === 0) ? low : low + 1);
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);
function neighbour(value: number, steps: number): number {
  float[0] = value;
  word[0] += steps;
  return float[0];
}

/** Every half, every tie between two halves and its neighbours in f32, and the ends of the f32 range. */
const TRICKY = Float32Array.from(
  [
    ...LADDER.flatMap((half, i) => {
      const tie = (half + (LADDER[i + 1] ?? 65536)) / 2;
      return [half, neighbour(tie, -1), tie, neighbour(tie, 1)];
    }),
    ...[65519.99, 65520, 65520.01, 65536, 1e6, 3.4028234663852886e38, Number.POSITIVE_INFINITY],
    ...[1e-45, 1.1754942106924411e-38, 1.1754943508222875e-38, 2 ** -25, neighbour(2 ** -25, 1), 2 ** -24],
  ].flatMap((x) => [x, -x]),
);

describe('half on the host', () => {
  test('widens all 65536 values', () => {
    const wide = fromHalf(HALVES);
    for (const half of HALVES) {
      const magnitude = half & 0x7fff;
      const expected =
        magnitude > 0x7c00 ? Number.NaN : magnitude === 0x7c00 ? Number.POSITIVE_INFINITY : LADDER[magnitude];
      expect(Object.is(wide[half], half & 0x8000 ? -expected : expected)).toBe(true);
    }
  });

  test('all values survive both ways', () => {
    for (const half of HALVES)
      if (isNaNBits(half)) expect(isNaNBits(f32ToF16Bits(f16BitsToF32(half)))).toBe(true);
      else expect(f32ToF16Bits(f16BitsToF32(half))).toBe(half);
  });

  test('rounds ties to even, keeps subnormals and overflows to infinity', () => {
    const halves = toHalf(TRICKY);
    for (const [i, value] of TRICKY.entries())
      if (halves[i] !== roundByLadder(value)) expect([value, halves[i]]).toEqual([value, roundByLadder(value)]);
  });
});

describe('half on the GPU', () => {
  test('widens all 65536 values as the host does', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const wide = await castTo(halves(device), 'f32').numbers();
      for (const half of HALVES)
        if (!Object.is(wide[half], f16BitsToF32(half)))
          expect([half.toString(16), wide[half]]).toEqual([half.toString(16), f16BitsToF32(half)]);
    });
  });

  test.each([
    ['by a copy', (x: Tensor) => copyOf(x, 'f16')],
    ['by an elementwise kernel', (x: Tensor) => mapUnary('a', x, 0, 'f16')],
  ])('rounds as the host does: %s', async (_, convert) => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const gpu = await convert(Tensor.from(device, TRICKY)).data<'f16'>();
      const wrong = [...TRICKY.entries()].filter(([i, value]) => gpu[i] !== f32ToF16Bits(value));
      expect(wrong.slice(0, 10).map(([i, value]) => [value, gpu[i].toString(16)])).toEqual([]);
    });
  });

  test('what is out of range shows in each place among eight', async () => {
    const device = await testDevice();
    const outer = [65504, 65504.0078125, 65519.99609375, 65520, 1e20, 3e38, Number.POSITIVE_INFINITY, Number.NaN];
    // Others whose squares add up to about what is out of range, and tiny ones.
    const values = [0, 23158, -65504, 65519, 1e-30].flatMap((others) =>
      outer.flatMap((one) => [0, 1, 2, 3, 4, 5, 6, 7].flatMap((at) => Array(8).fill(others).with(at, one))),
    );
    await device.scopeAsync(async () => {
      const gpu = await copyOf(Tensor.from(device, values), 'f16').data<'f16'>();
      const wrong = values.flatMap((value, i) =>
        gpu[i] === f32ToF16Bits(value) || (Number.isNaN(value) && isNaNBits(gpu[i])) ? [] : [[i, value, gpu[i]]],
      );
      expect(wrong.slice(0, 10)).toEqual([]);
    });
  });

  test('NaN stays NaN, whatever its payload', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const bits = Uint32Array.from([0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff, 0x7f802000, 0x7fffffff]);
      const x = Tensor.from(device, new Float32Array(6));
      device.upload(x, new Uint8Array(bits.buffer));
      for (const half of await copyOf(x, 'f16').data<'f16'>()) expect(isNaNBits(half)).toBe(true);
    });
  });

  test('strided copies move all 65536 values unchanged', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const moved = await copyOf(halves(device).view([256, 256]).transpose()).data<'f16'>();
      for (const half of HALVES) {
        const got = moved[(half % 256) * 256 + (half >> 8)];
        expect(isNaNBits(half) ? isNaNBits(got) : got === half).toBe(true);
      }
    });
  });
});

function halves(device: Awaited<ReturnType<typeof testDevice>>): Tensor {
  const x = Tensor.empty(device, [65536], 'f16');
  device.upload(x, new Uint8Array(HALVES.buffer));
  return x;
}

test('buffers hold whole words', () => {
  expect([byteLength('f16', 0), byteLength('f16', 1), byteLength('f16', 3), byteLength('u8', 5)]).toEqual([4, 4, 8, 8]);
});

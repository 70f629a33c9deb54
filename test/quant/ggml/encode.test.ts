import { describe, expect, test } from 'vitest';
import { Random } from '../../../src/data/random.ts';
import { UserError } from '../../../src/errors.ts';
import { fromFloat32, toFloat32 } from '../../../src/formats/elements.ts';
import { type EncodeJob, encodeRows } from '../../../src/quant/ggml/encode.ts';
import { EncodePool } from '../../../src/quant/ggml/encode-pool.ts';
import { quantizeGgml } from '../../../src/quant/ggml/quantize.ts';
import { roundToHalf } from '../../../src/quant/ggml/round-to-half.ts';
import { f16BitsToF32, f32ToF16Bits } from '../../../src/tensor/half.ts';

const bytesOf = (values: Float32Array) => new Uint8Array(values.slice().buffer);
const job = (values: Float32Array, rest: Partial<EncodeJob>): EncodeJob => ({
  name: 'w',
  bytes: bytesOf(values),
  dtype: 'F32',
  width: values.length,
  headRows: 0,
  types: ['f32'],
  importance: null,
  ...rest,
});

describe('rounding to f16', () => {
  test('is that of single values, at every step, tie and edge of f16', () => {
    const halves = Array.from({ length: 0x7c00 }, (_, bits) => f16BitsToF32(bits));
    const values = halves.flatMap((half, i) => {
      const tie = (half + (halves[i + 1] ?? 65536)) / 2;
      const [below, above] = [1 - 2 ** -24, 1 + 2 ** -23].map((factor) => Math.fround(tie * factor));
      return [half, tie, below, above];
    });
    values.push(2 ** -25, Math.fround(2 ** -25 * (1 + 2 ** -23)), 2 ** -26, 1e-45, 65519.996, 65520, 1e38, Infinity);
    const all = Float32Array.from(values.flatMap((value) => [value, -value]));
    const rounded = roundToHalf(bytesOf(all), 'F32', 'w');
    const wrong = all.findIndex((value, i) => !Object.is(rounded[i], f16BitsToF32(f32ToF16Bits(value))));
    expect(wrong < 0 ? 'none' : [all[wrong], rounded[wrong]]).toBe('none');
    expect(roundToHalf(bytesOf(Float32Array.of(Number.NaN)), 'F32', 'w')[0]).toBeNaN();
  });

  test.each(['BF16', 'F16'] as const)('every %s value as through f32', (dtype) => {
    const codes = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, code) => code).buffer);
    const direct = roundToHalf(codes, dtype, 'w');
    const around = roundToHalf(bytesOf(toFloat32(codes, dtype, 'w')), 'F32', 'w');
    expect(direct.findIndex((value, i) => !Object.is(value, around[i]))).toBe(-1);
  });
});

describe('rows in other types', () => {
  const random = new Random(3);
  const values = Float32Array.from({ length: 8 * 256 }, () => random.normal() * 0.02);
  const halved = Float32Array.from(values, (value) => f16BitsToF32(f32ToF16Bits(value)));

  test('f32 and bf16 are rounded once, the others from f16', () => {
    const types = ['f32', 'bf16', 'f16', 'q8_0', 'q4_k'] as const;
    const results = encodeRows(job(values, { width: 256, types }));
    expect(results[0]).toEqual(bytesOf(values));
    expect(results[1]).toEqual(fromFloat32(values, 'BF16'));
    expect(results[2]).toEqual(fromFloat32(values, 'F16'));
    expect(results[3]).toEqual(quantizeGgml('q8_0', halved, 256));
    expect(results[4]).toEqual(quantizeGgml('q4_k', halved, 256));
  });

  test('halves of heads are interleaved', () => {
    // Two heads of four rows: 0 1 | 2 3 becomes 0 2 1 3.
    const rows = Float32Array.from({ length: 16 }, (_, i) => Math.floor(i / 2));
    const [result] = encodeRows(job(rows, { width: 2, headRows: 4 }));
    expect([...toFloat32(result, 'F32', 'w')].filter((_, i) => i % 2 === 0)).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  });

  test.each([
    ['NaN', Number.NaN],
    ['infinity', -Infinity],
    ['a value beyond f16', 65_520],
  ])('%s is refused where f16 is needed', (_, bad) => {
    const broken = Float32Array.from(values);
    broken[700] = bad;
    expect(() => encodeRows(job(broken, { width: 256, types: ['q4_k'] }))).toThrow(UserError);
    expect(encodeRows(job(broken, { width: 256, types: ['f32', 'bf16'] }))).toHaveLength(2);
  });

  test('threads give the same bytes, in the order asked, and the same errors', async () => {
    const jobs = Array.from({ length: 7 }, (_, i) =>
      job(values.subarray(i * 256, (i + 1) * 256), { types: i % 2 ? ['q4_k', 'f16'] : ['q6_k'] }),
    );
    const expected = jobs.map((each) => encodeRows(each));
    const pool = new EncodePool(2);
    try {
      const given = jobs.map((each) => ({ ...each, bytes: each.bytes.slice() }));
      expect(await Promise.all(given.map((each) => pool.encode(each)))).toEqual(expected);
      const bad = job(
        Float32Array.from(values, () => Number.NaN),
        { width: 256, types: ['q4_k'] },
      );
      await expect(pool.encode(bad)).rejects.toThrow(UserError);
      expect(await pool.encode({ ...jobs[0], bytes: jobs[0].bytes.slice() })).toEqual(expected[0]);
    } finally {
      await pool.close();
    }
  });
});

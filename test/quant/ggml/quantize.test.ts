import { describe, expect, test } from 'vitest';
import { GGML_TYPES, type GgmlType } from '../../../src/formats/gguf/types.ts';
import { plainSearches } from '../../../src/quant/ggml/plain/searches.ts';
import { blockFormats, dequantizeGgml, quantizeGgml } from '../../../src/quant/ggml/quantize.ts';
import { openGgml, skipReason } from '../../oracle/ggml.ts';
import { IMPORTANCE, INPUTS, type Input } from './inputs.ts';

const TYPES = Object.keys(GGML_TYPES) as GgmlType[];
const FORMATS = blockFormats(plainSearches);
const IGNORE_IMPORTANCE = ['f32', 'f16', 'bf16', 'q8_0'];

const widthFor = (type: GgmlType, { width }: Input) => (GGML_TYPES[type].block === 256 ? width.wide : width.narrow);

/** Blocks that differ, of how many; empty if none. */
function difference(type: GgmlType, actual: Uint8Array, expected: Uint8Array): string {
  if (Buffer.compare(actual, expected) === 0) return '';
  const { bytes } = GGML_TYPES[type];
  const blocks = Array.from({ length: expected.length / bytes }, (_, b) => b * bytes);
  const wrong = blocks.filter((b) => Buffer.compare(actual.subarray(b, b + bytes), expected.subarray(b, b + bytes)));
  return `${wrong.length} of ${blocks.length} blocks differ, the first at byte ${wrong[0]}`;
}

describe.skipIf(skipReason !== '')(`blocks against ggml${skipReason}`, () => {
  describe.each(TYPES)('%s', (type) => {
    test.each(INPUTS)('$name', async (input) => {
      const ggml = await openGgml();
      const width = widthFor(type, input);
      const expected = ggml.quantize(type, input.values, width);
      const plain = new Uint8Array(expected.length);
      FORMATS[type].quantize(input.values, plain, width, null);
      expect(difference(type, plain, expected)).toBe('');

      if (type === 'f32') return;
      const count = input.values.length;
      expectSameBits(dequantizeGgml(type, expected, count), ggml.dequantize(type, expected, count));
    });

    test.skipIf(IGNORE_IMPORTANCE.includes(type)).each(INPUTS)('$name, with importance', async (input) => {
      const width = widthFor(type, input);
      const importance = IMPORTANCE.subarray(0, width);
      const expected = (await openGgml()).quantize(type, input.values, width, importance);
      const plain = new Uint8Array(expected.length);
      FORMATS[type].quantize(input.values, plain, width, importance);
      expect(difference(type, plain, expected)).toBe('');
    });

    test.skipIf(type === 'f32')('any bytes dequantise alike', async () => {
      const { block, bytes } = GGML_TYPES[type];
      const random = Uint8Array.from({ length: bytes * 512 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 255);
      const expected = (await openGgml()).dequantize(type, random, block * 512);
      expectSameBits(dequantizeGgml(type, random, block * 512), expected);
    });
  });
});

/** Equal bits, but for the payloads and signs of NaNs, which arithmetic does not define. */
function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  const [a, e] = [actual, expected].map((x) => new Uint32Array(x.buffer, x.byteOffset, x.length));
  let wrong = 0;
  for (let i = 0; i < e.length; i++)
    if (a[i] !== e[i] && !(Number.isNaN(actual[i]) && Number.isNaN(expected[i]))) wrong++;
  expect(actual.length).toBe(expected.length);
  expect(wrong).toBe(0);
}

describe('refusals', () => {
  test('rows that are no whole number of blocks', () => {
    expect(() => quantizeGgml('q4_k', new Float32Array(320), 320)).toThrow(/rows of 320 values.*multiple of 256/);
    expect(() => quantizeGgml('q8_0', new Float32Array(48), 48)).toThrow(/rows of 48 values.*multiple of 32/);
    expect(() => quantizeGgml('q8_0', new Float32Array(0), 0)).toThrow(/rows of 0 values/);
  });

  test('values that are no whole number of rows', () => {
    expect(() => quantizeGgml('q8_0', new Float32Array(96), 64)).toThrow(/96 values.*whole rows of 64/);
  });

  test('importance of another width', () => {
    expect(() => quantizeGgml('q4_0', new Float32Array(64), 64, new Float32Array(32))).toThrow(/32 importance weights/);
  });

  test('bytes of another length', () => {
    expect(() => dequantizeGgml('q6_k', new Uint8Array(209), 256)).toThrow(/209 bytes for 256 values/);
    expect(() => dequantizeGgml('q6_k', new Uint8Array(210), 255)).toThrow(/for 255 values/);
  });
});

test('no values are no bytes', () => {
  for (const type of TYPES) {
    expect(quantizeGgml(type, new Float32Array(0), 256).length).toBe(0);
    expect(dequantizeGgml(type, new Uint8Array(0), 0).length).toBe(0);
  }
});

test('values and bytes at odd places of a buffer', () => {
  const buffer = new Float32Array(259).fill(0.5).subarray(3);
  for (const type of TYPES) {
    const bytes = quantizeGgml(type, buffer, 256);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(dequantizeGgml(type, shifted.subarray(1), 256)).toEqual(dequantizeGgml(type, bytes, 256));
  }
});

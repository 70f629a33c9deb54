import { describe, expect, test } from 'vitest';
import { GGML_TYPES, type GgmlType, ggmlBytes } from '../../../src/formats/gguf/types.ts';
import { plainSearches } from '../../../src/quant/ggml/plain/searches.ts';
import { blockFormats, dequantizeGgml, quantizeGgml } from '../../../src/quant/ggml/quantize.ts';
import { type Ggml, openGgml, skipReason } from '../../oracle/ggml.ts';
import { IMPORTANCE, INPUTS, type Input, PLAIN_COUNT } from './inputs.ts';

const TYPES = Object.keys(GGML_TYPES) as GgmlType[];
const SEARCHING = TYPES.filter((type) => !['f32', 'f16', 'bf16', 'q8_0'].includes(type));
const PLAIN = blockFormats(plainSearches);

// Compilers for ARM fuse products and sums where ggml has both: there its bytes are other ones.
const skipped = skipReason || (process.arch === 'x64' ? '' : ' (skipped: ggml rounds otherwise on this processor)');
const ggml = skipped ? (null as unknown as Ggml) : await openGgml();

const widthFor = (type: GgmlType, { width }: Input) => (GGML_TYPES[type].block === 256 ? width.wide : width.narrow);

/** Blocks that differ, of how many; empty if none. */
function difference(type: GgmlType, actual: Uint8Array, expected: Uint8Array): string {
  if (Buffer.compare(actual, expected) === 0) return '';
  const { bytes } = GGML_TYPES[type];
  const blocks = Array.from({ length: expected.length / bytes }, (_, b) => b * bytes);
  const wrong = blocks.filter((b) => Buffer.compare(actual.subarray(b, b + bytes), expected.subarray(b, b + bytes)));
  return `${wrong.length} of ${blocks.length} blocks differ, the first at byte ${wrong[0]}`;
}

/** Equal bits, but for the payloads and signs of NaNs, which arithmetic does not define. */
function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  const [a, e] = [actual, expected].map((x) => new Uint32Array(x.buffer, x.byteOffset, x.length));
  let wrong = 0;
  for (let i = 0; i < e.length; i++)
    if (a[i] !== e[i] && !(Number.isNaN(actual[i]) && Number.isNaN(expected[i]))) wrong++;
  expect(actual.length).toBe(expected.length);
  expect(wrong).toBe(0);
}

/** Both implementations against ggml; the plain one, slow, on part of the values. */
function expectSameBytes(type: GgmlType, input: Input, importance?: Float32Array): Uint8Array {
  const width = widthFor(type, input);
  const columns = importance?.subarray(0, width);
  const expected = ggml.quantize(type, input.values, width, columns);
  expect(difference(type, quantizeGgml(type, input.values, width, columns), expected)).toBe('');
  const plain = new Uint8Array(ggmlBytes(type, PLAIN_COUNT));
  PLAIN[type].quantize(input.values.subarray(0, PLAIN_COUNT), plain, width, columns ?? null);
  expect(difference(type, plain, expected.subarray(0, plain.length)), 'plain').toBe('');
  return expected;
}

describe.skipIf(skipped !== '')(`blocks against ggml${skipped}`, () => {
  describe.each(TYPES)('%s', (type) => {
    test.each(INPUTS)('$name', (input) => {
      const bytes = expectSameBytes(type, input);
      const count = input.values.length;
      if (type !== 'f32') expectSameBits(dequantizeGgml(type, bytes, count), ggml.dequantize(type, bytes, count));
    });
  });

  describe.each(SEARCHING)('%s with importance', (type) => {
    test.each(INPUTS)('$name', (input) => {
      expectSameBytes(type, input, IMPORTANCE);
    });
  });

  test.each(TYPES.filter((type) => type !== 'f32'))('any bytes dequantise alike: %s', (type) => {
    const { block, bytes } = GGML_TYPES[type];
    const random = Uint8Array.from({ length: bytes * 2048 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 255);
    expectSameBits(dequantizeGgml(type, random, block * 2048), ggml.dequantize(type, random, block * 2048));
  });

  test.each(TYPES)('any number of blocks: %s', (type) => {
    const { block } = GGML_TYPES[type];
    for (const blocks of [1, 2, 3, 5, 9, 31]) {
      const values = INPUTS[0].values.subarray(block, block * (blocks + 1));
      for (const importance of [undefined, IMPORTANCE.slice(0, block)]) {
        const expected = ggml.quantize(type, values.slice(), block, importance);
        expect(difference(type, quantizeGgml(type, values, block, importance), expected)).toBe('');
      }
      const one = block * blocks;
      const expected = ggml.quantize(type, values.slice(), one, IMPORTANCE.slice(0, one));
      if (one <= IMPORTANCE.length)
        expect(difference(type, quantizeGgml(type, values, one, IMPORTANCE.slice(0, one)), expected)).toBe('');
    }
  });
});

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
  const values = new Float32Array(259).map((_, i) => Math.sin(i));
  for (const type of TYPES) {
    const bytes = quantizeGgml(type, values.subarray(3), 256);
    expect(bytes).toEqual(quantizeGgml(type, values.slice(3), 256));
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(dequantizeGgml(type, shifted.subarray(1), 256)).toEqual(dequantizeGgml(type, bytes, 256));
  }
});

import { sumOfSquares, weighByImportance } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { largestMagnitude, searchScale, searchScaleAndMin } from './scale-search.ts';

const { fround } = Math;

/** Values of a block. */
const BLOCK = 32;
const codes = new Uint8Array(BLOCK);
const weights = new Float32Array(BLOCK);
const mins = new Float32Array(1);

/** Q4_0, x = scale · (code − 8): f16 scale, 16 bytes of codes. */
export const q4_0: BlockFormat = symmetric(4);
/** Q5_0, x = scale · (code − 16): f16 scale, 32 high bits, 16 bytes of low halves. */
export const q5_0: BlockFormat = symmetric(5);
/** Q4_1, x = scale · code + min: f16 scale and minimum, 16 bytes of codes. */
export const q4_1: BlockFormat = affine(4);
/** Q5_1, x = scale · code + min: f16 scale and minimum, 32 high bits, 16 bytes of low halves. */
export const q5_1: BlockFormat = affine(5);

function symmetric(width: 4 | 5): BlockFormat {
  const half = 1 << (width - 1);
  const codesAt = 2;
  const bytes = codesAt + 4 * width;
  return {
    quantize(values, out, columns, importance) {
      for (let row = 0, to = 0; row < values.length; row += columns) {
        const variance = importance ? fround(sumOfSquares(values, row, columns) / columns) : 0;
        for (let column = 0; column < columns; column += BLOCK, to += bytes) {
          const at = row + column;
          let scale: number;
          if (importance) {
            weighByImportance(values, at, BLOCK, importance, column, variance, weights);
            scale = searchScale(values, at, BLOCK, weights, half, codes, 0);
          } else {
            scale = fround(largestMagnitude(values, at, BLOCK) / -half);
            const inverse = scale !== 0 ? fround(1 / scale) : 0;
            for (let i = 0; i < BLOCK; i++)
              codes[i] = truncate(fround(fround(values[at + i] * inverse) + (half + 0.5)), 2 * half - 1);
          }
          putScale(out, to, scale);
          putCodes(out, to + codesAt, width);
        }
      }
    },
    dequantize(from, out) {
      for (let at = 0, block = 0; at < out.length; at += BLOCK, block += bytes) {
        const scale = getScale(from, block);
        getCodes(from, block + codesAt, width);
        for (let i = 0; i < BLOCK; i++) out[at + i] = (codes[i] - half) * scale;
      }
    },
  };
}

function affine(width: 4 | 5): BlockFormat {
  const levels = (1 << width) - 1;
  const codesAt = 4;
  const bytes = codesAt + 4 * width;
  const search = { levels, first: fround(-0.9), step: fround(0.05), trials: 36 };
  return {
    quantize(values, out, columns, importance) {
      for (let row = 0, to = 0; row < values.length; row += columns) {
        const variance = importance ? fround(sumOfSquares(values, row, columns) / columns) : 0;
        for (let column = 0; column < columns; column += BLOCK, to += bytes) {
          const at = row + column;
          let scale: number;
          let min: number;
          if (importance) {
            weighByImportance(values, at, BLOCK, importance, column, variance, weights);
            scale = searchScaleAndMin(values, at, BLOCK, weights, search, codes, 0, mins, 0);
            min = -mins[0];
          } else {
            min = 3.4028234663852886e38;
            let max = -min;
            for (let i = at; i < at + BLOCK; i++) {
              if (values[i] < min) min = values[i];
              if (values[i] > max) max = values[i];
            }
            scale = fround(fround(max - min) / levels);
            const inverse = scale !== 0 ? fround(1 / scale) : 0;
            for (let i = 0; i < BLOCK; i++)
              codes[i] = truncate(fround(fround(fround(values[at + i] - min) * inverse) + 0.5), levels);
          }
          putScale(out, to, scale);
          putScale(out, to + 2, min);
          putCodes(out, to + codesAt, width);
        }
      }
    },
    dequantize(from, out) {
      for (let at = 0, block = 0; at < out.length; at += BLOCK, block += bytes) {
        const scale = getScale(from, block);
        const min = getScale(from, block + 2);
        getCodes(from, block + codesAt, width);
        for (let i = 0; i < BLOCK; i++) out[at + i] = fround(codes[i] * scale) + min;
      }
    },
  };
}

/** C's conversion to a signed byte, then at most `levels`: an infinity or NaN gives 0, a negative byte `levels`. */
function truncate(x: number, levels: number): number {
  return Math.min((x << 24) >> 24, levels);
}

/** Low halves of codes i and i + 16 share a byte; the fifth bits, if any, lie before them as one 32-bit number. */
function putCodes(out: Uint8Array, to: number, width: 4 | 5): void {
  if (width === 5) {
    let high = 0;
    for (let i = 0; i < BLOCK; i++) high |= ((codes[i] >> 4) & 1) << i;
    for (let i = 0; i < 4; i++) out[to + i] = high >>> (8 * i);
    to += 4;
  }
  for (let i = 0; i < 16; i++) out[to + i] = (codes[i] & 15) | (codes[i + 16] << 4);
}

function getCodes(from: Uint8Array, at: number, width: 4 | 5): void {
  const low = width === 5 ? at + 4 : at;
  for (let i = 0; i < 16; i++) {
    codes[i] = from[low + i] & 15;
    codes[i + 16] = from[low + i] >> 4;
  }
  if (width === 5) for (let i = 0; i < BLOCK; i++) codes[i] |= ((from[at + (i >> 3)] >> (i & 7)) & 1) << 4;
}

import { largestMagnitude, sumOfSquares } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { type GroupSearch, type Searches, SPAN } from './group-search.ts';

const { fround } = Math;

/** Values of a block. */
const BLOCK = 32;
const work = new Uint8Array(BLOCK);

/** Q4_0, x = scale · (code − 8): f16 scale, 16 bytes of codes. */
export const q4_0 = (searches: Searches): BlockFormat => symmetric(4, searches);
/** Q5_0, x = scale · (code − 16): f16 scale, 32 fifth bits, 16 bytes of low halves. */
export const q5_0 = (searches: Searches): BlockFormat => symmetric(5, searches);
/** Q4_1, x = scale · code + min: f16 scale and minimum, 16 bytes of codes. */
export const q4_1 = (searches: Searches): BlockFormat => affine(4, searches);
/** Q5_1, x = scale · code + min: f16 scale and minimum, 32 fifth bits, 16 bytes of low halves. */
export const q5_1 = (searches: Searches): BlockFormat => affine(5, searches);

function symmetric(bits: 4 | 5, searches: Searches): BlockFormat {
  const half = bits === 4 ? 8 : 16;
  const codesAt = 2;
  const bytes = codesAt + 4 * bits;
  const search = searches.symmetric({ size: BLOCK, half, weights: 'importance and square' });
  return {
    quantize(values, out, width, importance) {
      if (importance)
        return quantizeWeighted(search, values, width, importance, (j, block) => {
          putScale(out, block * bytes, search.scales[j]);
          putCodes(out, block * bytes + codesAt, bits, search.codes, BLOCK * j);
        });
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += bytes) {
        const scale = fround(largestMagnitude(values, at, BLOCK) / -half);
        const inverse = scale !== 0 ? fround(1 / scale) : 0;
        for (let i = 0; i < BLOCK; i++)
          work[i] = truncate(fround(fround(values[at + i] * inverse) + (half + 0.5)), 2 * half - 1);
        putScale(out, to, scale);
        putCodes(out, to + codesAt, bits, work, 0);
      }
    },
    dequantize(from, out) {
      for (let at = 0, block = 0; at < out.length; at += BLOCK, block += bytes) {
        const scale = getScale(from, block);
        getCodes(from, block + codesAt, bits);
        for (let i = 0; i < BLOCK; i++) out[at + i] = (work[i] - half) * scale;
      }
    },
  };
}

function affine(bits: 4 | 5, searches: Searches): BlockFormat {
  const levels = bits === 4 ? 15 : 31;
  const codesAt = 4;
  const bytes = codesAt + 4 * bits;
  const steps = { first: fround(-0.9), step: fround(0.05), trials: 36 };
  const search = searches.affine({ size: BLOCK, levels, ...steps, weights: 'importance and square' });
  return {
    quantize(values, out, width, importance) {
      if (importance)
        return quantizeWeighted(search, values, width, importance, (j, block) => {
          putScale(out, block * bytes, search.scales[j]);
          putScale(out, block * bytes + 2, -search.mins[j]);
          putCodes(out, block * bytes + codesAt, bits, search.codes, BLOCK * j);
        });
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += bytes) {
        let min = 3.4028234663852886e38;
        let max = -min;
        for (let i = at; i < at + BLOCK; i++) {
          if (values[i] < min) min = values[i];
          if (values[i] > max) max = values[i];
        }
        const scale = fround(fround(max - min) / levels);
        const inverse = scale !== 0 ? fround(1 / scale) : 0;
        for (let i = 0; i < BLOCK; i++)
          work[i] = truncate(fround(fround(fround(values[at + i] - min) * inverse) + 0.5), levels);
        putScale(out, to, scale);
        putScale(out, to + 2, min);
        putCodes(out, to + codesAt, bits, work, 0);
      }
    },
    dequantize(from, out) {
      for (let at = 0, block = 0; at < out.length; at += BLOCK, block += bytes) {
        const scale = getScale(from, block);
        const min = getScale(from, block + 2);
        getCodes(from, block + codesAt, bits);
        for (let i = 0; i < BLOCK; i++) out[at + i] = fround(work[i] * scale) + min;
      }
    },
  };
}

/**
 * Searches the blocks of all rows, several at a time; importance counts together with the mean square of the row.
 *
 * @param put writes block number `block` from what the search has for its group j
 */
function quantizeWeighted(
  search: GroupSearch,
  values: Float32Array,
  width: number,
  importance: Float32Array,
  put: (j: number, block: number) => void,
): void {
  for (let row = 0; row < values.length; row += width) {
    search.variances.fill(fround(sumOfSquares(values, row, width) / width));
    for (let column = 0; column < width; column += SPAN) {
      const groups = Math.min(SPAN, width - column) / BLOCK;
      search.find(values, row + column, groups, importance, column);
      for (let j = 0; j < groups; j++) put(j, (row + column) / BLOCK + j);
    }
  }
}

/** C's conversion to a signed byte, then at most `levels`: an infinity or NaN gives 0. */
function truncate(x: number, levels: number): number {
  return Math.min((x << 24) >> 24, levels);
}

/** Low halves of codes i and i + 16 share a byte; the fifth bits, if any, lie before them as one 32-bit number. */
function putCodes(out: Uint8Array, to: number, bits: 4 | 5, codes: Uint8Array, first: number): void {
  let low = to;
  if (bits === 5) {
    let high = 0;
    for (let i = 0; i < BLOCK; i++) high |= ((codes[first + i] >> 4) & 1) << i;
    for (let i = 0; i < 4; i++) out[to + i] = high >>> (8 * i);
    low += 4;
  }
  for (let i = 0; i < 16; i++) out[low + i] = (codes[first + i] & 15) | (codes[first + i + 16] << 4);
}

/** Fills `work`. */
function getCodes(from: Uint8Array, at: number, bits: 4 | 5): void {
  const low = bits === 5 ? at + 4 : at;
  for (let i = 0; i < 16; i++) {
    work[i] = from[low + i] & 15;
    work[i + 16] = from[low + i] >> 4;
  }
  if (bits === 5) for (let i = 0; i < BLOCK; i++) work[i] |= ((from[at + (i >> 3)] >> (i & 7)) & 1) << 4;
}

import { clamp, nearestInt, sumOfSquares, weighByImportance } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { type AffineSearch, searchPositiveScale, searchScaleAndMin } from './scale-search.ts';
import { putSixBit, sixBitMin, sixBitScale } from './six-bit-scales.ts';

const { fround, abs } = Math;

/** A superblock: eight groups of 32, each with a scale and a minimum of six bits in units of two f16 numbers. */
const BLOCK = 256;
const GROUP = 32;
const GROUPS = 8;
/** Bytes of the two units and the twelve bytes of scales and minimums, with which both formats begin. */
const HEADER = 16;

const codes = new Uint8Array(BLOCK);
const weights = new Float32Array(GROUP);
const scales = new Float32Array(GROUPS);
const mins = new Float32Array(GROUPS);
const sums = new Float32Array(GROUPS);
const scaleCodes = new Uint8Array(GROUPS);
const minCodes = new Uint8Array(GROUPS);

/** Q4_K, x = scale · code − min: header, then 128 bytes of codes; groups 2k and 2k + 1 share bytes. */
export const q4_k: BlockFormat = {
  quantize(values, out, width, importance) {
    const search: AffineSearch = importance
      ? { levels: 15, first: fround(-0.9), step: fround(0.05), trials: 36 }
      : { levels: 15, first: -1, step: fround(0.1), trials: 20 };
    for (let at = 0, to = 0; at < values.length; at += BLOCK, to += 144) {
      quantizeGroups(values, at, search, importance, at % width, out, to);
      putHalves(out, to + HEADER);
    }
  },

  dequantize(bytes, out) {
    for (let at = 0, from = 0; at < out.length; at += BLOCK, from += 144) {
      getHalves(bytes, from + HEADER);
      scaleCodesBack(bytes, from, out, at);
    }
  },
};

/** Q5_K: header, 32 bytes of fifth bits (bit j of byte i belongs to code 32j + i), then low halves as in Q4_K. */
export const q5_k: BlockFormat = {
  quantize(values, out, width, importance) {
    const search: AffineSearch = importance
      ? { levels: 31, first: fround(-0.9), step: fround(0.05), trials: 36 }
      : { levels: 31, first: -0.5, step: fround(0.1), trials: 15 };
    for (let at = 0, to = 0; at < values.length; at += BLOCK, to += 176) {
      quantizeGroups(values, at, search, importance, at % width, out, to);
      for (let i = 0; i < GROUP; i++) {
        let high = 0;
        for (let j = 0; j < GROUPS; j++) high |= (codes[GROUP * j + i] >> 4) << j;
        out[to + HEADER + i] = high;
      }
      putHalves(out, to + HEADER + GROUP);
    }
  },

  dequantize(bytes, out) {
    for (let at = 0, from = 0; at < out.length; at += BLOCK, from += 176) {
      getHalves(bytes, from + HEADER + GROUP);
      for (let i = 0; i < BLOCK; i++) codes[i] |= ((bytes[from + HEADER + (i & 31)] >> (i >> 5)) & 1) << 4;
      scaleCodesBack(bytes, from, out, at);
    }
  },
};

/**
 * Writes a superblock's header and leaves its codes in `codes`.
 *
 * Codes are chosen again with the rounded scales; a group whose scale rounds to zero keeps those of the search.
 */
function quantizeGroups(
  values: Float32Array,
  at: number,
  search: AffineSearch,
  importance: Float32Array | null,
  column: number,
  out: Uint8Array,
  to: number,
): void {
  const { levels } = search;
  const variance = importance ? fround(fround(2 * sumOfSquares(values, at, BLOCK)) / BLOCK) : 0;
  for (let j = 0; j < GROUPS; j++) {
    const start = at + GROUP * j;
    if (importance) weighByImportance(values, start, GROUP, importance, column + GROUP * j, variance, weights);
    else weighByMagnitude(values, start);
    let sum = 0;
    for (let i = 0; i < GROUP; i++) sum = fround(sum + weights[i]);
    sums[j] = sum;
    scales[j] = searchScaleAndMin(values, start, GROUP, weights, search, codes, GROUP * j, mins, j);
  }
  const scaleUnit = importance
    ? searchPositiveScale(scales, GROUPS, 63, scaleCodes, sums)
    : divideEvenly(scales, scaleCodes);
  const minUnit = importance ? searchPositiveScale(mins, GROUPS, 63, minCodes, sums) : divideEvenly(mins, minCodes);
  const roundedScale = putScale(out, to, scaleUnit);
  const roundedMin = putScale(out, to + 2, minUnit);
  if (importance && levels === 31)
    for (let j = 0; j < GROUPS; j++) {
      scaleCodes[j] = Math.min(63, scaleCodes[j]);
      minCodes[j] = Math.min(63, minCodes[j]);
    }
  putSixBit(out, to + 4, scaleCodes, minCodes);

  for (let j = 0; j < GROUPS; j++) {
    const scale = fround(roundedScale * sixBitScale(out, to + 4, j));
    if (scale === 0) continue;
    const min = fround(roundedMin * sixBitMin(out, to + 4, j));
    for (let i = GROUP * j; i < GROUP * (j + 1); i++) {
      codes[i] = clamp(nearestInt(fround(fround(values[at + i] + min) / scale)), 0, levels);
    }
  }
}

/** Weights without importance: magnitude, plus the group's root mean square. */
function weighByMagnitude(values: Float32Array, start: number): void {
  const rms = fround(Math.sqrt(fround(sumOfSquares(values, start, GROUP) / GROUP)));
  for (let i = 0; i < GROUP; i++) weights[i] = rms + abs(values[start + i]);
}

/** Codes 0..63 in units of the largest / 63, which is returned. */
function divideEvenly(x: Float32Array, to: Uint8Array): number {
  let largest = 0;
  for (let j = 0; j < GROUPS; j++) if (x[j] > largest) largest = x[j];
  const inverse = largest > 0 ? fround(63 / largest) : 0;
  for (let j = 0; j < GROUPS; j++) to[j] = Math.min(63, nearestInt(fround(inverse * x[j])) & 255);
  return fround(largest / 63);
}

/** Values of a superblock from its header and `codes`. */
function scaleCodesBack(bytes: Uint8Array, from: number, out: Float32Array, at: number): void {
  const scaleUnit = getScale(bytes, from);
  const minUnit = getScale(bytes, from + 2);
  for (let j = 0; j < GROUPS; j++) {
    const scale = fround(scaleUnit * sixBitScale(bytes, from + 4, j));
    const min = fround(minUnit * sixBitMin(bytes, from + 4, j));
    for (let i = GROUP * j; i < GROUP * (j + 1); i++) out[at + i] = fround(scale * codes[i]) - min;
  }
}

/** Low four bits of codes: byte i of 32-byte run k holds codes 64k + i and 64k + 32 + i. */
function putHalves(out: Uint8Array, to: number): void {
  for (let k = 0; k < 4; k++)
    for (let i = 0; i < 32; i++) out[to + 32 * k + i] = (codes[64 * k + i] & 15) | ((codes[64 * k + 32 + i] & 15) << 4);
}

function getHalves(bytes: Uint8Array, from: number): void {
  for (let k = 0; k < 4; k++)
    for (let i = 0; i < 32; i++) {
      const byte = bytes[from + 32 * k + i];
      codes[64 * k + i] = byte & 15;
      codes[64 * k + 32 + i] = byte >> 4;
    }
}

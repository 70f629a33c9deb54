import { clamp, nearestInt, sumOfSquares, weighByImportance } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { type AffineSearch, searchPositiveScale, searchScaleAndMin } from './scale-search.ts';
import { getQuarters, putQuarters } from './two-bit-codes.ts';

const { fround, abs } = Math;

/** A superblock: sixteen groups of 16, each with a scale and a minimum of four bits in units of two f16 numbers. */
const BLOCK = 256;
const GROUP = 16;
const GROUPS = 16;
/** 16 bytes of scales (low halves) and minimums, 64 of codes, the two units. */
const BYTES = 84;
const CODES_AT = 16;
const UNITS_AT = 80;

const codes = new Uint8Array(BLOCK);
const weights = new Float32Array(GROUP);
const scales = new Float32Array(GROUPS);
const mins = new Float32Array(GROUPS);
const sums = new Float32Array(GROUPS);
const scaleCodes = new Uint8Array(GROUPS);
const minCodes = new Uint8Array(GROUPS);

const PLAIN: AffineSearch = { levels: 3, first: -0.5, step: fround(0.1), trials: 15, absolute: true };
const WEIGHTED: AffineSearch = { levels: 3, first: fround(-0.9), step: fround(0.05), trials: 36 };

/** Q2_K, x = scale · code − min with codes of two bits. */
export const q2_k: BlockFormat = {
  quantize(values, out, width, importance) {
    for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BYTES) {
      if (importance) searchWeighted(values, at, importance, at % width, out, to);
      else searchPlain(values, at, out, to);
      chooseCodes(values, at, out, to);
      putQuarters(out, to + CODES_AT, codes);
    }
  },

  dequantize(bytes, out) {
    for (let at = 0, from = 0; at < out.length; at += BLOCK, from += BYTES) {
      const scaleUnit = getScale(bytes, from + UNITS_AT);
      const minUnit = getScale(bytes, from + UNITS_AT + 2);
      getQuarters(bytes, from + CODES_AT, codes);
      for (let j = 0; j < GROUPS; j++) {
        const scale = fround(scaleUnit * (bytes[from + j] & 15));
        const min = fround(minUnit * (bytes[from + j] >> 4));
        for (let i = GROUP * j; i < GROUP * (j + 1); i++) out[at + i] = fround(scale * codes[i]) - min;
      }
    }
  },
};

/** Writes scales, minimums and units; errors weigh by magnitude, units are the largest / 15. */
function searchPlain(values: Float32Array, at: number, out: Uint8Array, to: number): void {
  for (let j = 0; j < GROUPS; j++) {
    const start = at + GROUP * j;
    for (let i = 0; i < GROUP; i++) weights[i] = abs(values[start + i]);
    scales[j] = searchScaleAndMin(values, start, GROUP, weights, PLAIN, codes, GROUP * j, mins, j);
  }
  const scaleUnit = divideEvenly(scales, scaleCodes);
  const minUnit = divideEvenly(mins, minCodes);
  putHeader(out, to, scaleUnit, minUnit);
}

function searchWeighted(
  values: Float32Array,
  at: number,
  importance: Float32Array,
  column: number,
  out: Uint8Array,
  to: number,
): void {
  const variance = fround(sumOfSquares(values, at, BLOCK) / BLOCK);
  for (let j = 0; j < GROUPS; j++) {
    const start = at + GROUP * j;
    weighByImportance(values, start, GROUP, importance, column + GROUP * j, variance, weights);
    let sum = 0;
    for (let i = 0; i < GROUP; i++) sum = fround(sum + weights[i]);
    sums[j] = sum;
    scales[j] = searchScaleAndMin(values, start, GROUP, weights, WEIGHTED, codes, GROUP * j, mins, j);
  }
  const scaleUnit = searchPositiveScale(scales, GROUPS, 15, scaleCodes, sums);
  const minUnit = searchPositiveScale(mins, GROUPS, 15, minCodes, sums);
  putHeader(out, to, scaleUnit, minUnit);
}

/** Codes in units of the largest / 15, which is returned. */
function divideEvenly(x: Float32Array, to: Uint8Array): number {
  let largest = 0;
  for (let j = 0; j < GROUPS; j++) if (x[j] > largest) largest = x[j];
  if (!(largest > 0)) {
    to.fill(0);
    return 0;
  }
  const inverse = fround(15 / largest);
  for (let j = 0; j < GROUPS; j++) to[j] = nearestInt(fround(inverse * x[j]));
  return fround(largest / 15);
}

function putHeader(out: Uint8Array, to: number, scaleUnit: number, minUnit: number): void {
  for (let j = 0; j < GROUPS; j++) out[to + j] = scaleCodes[j] | (minCodes[j] << 4);
  putScale(out, to + UNITS_AT, scaleUnit);
  putScale(out, to + UNITS_AT + 2, minUnit);
}

/** Chooses codes again with the rounded scales; a group whose scale rounds to zero keeps those of the search. */
function chooseCodes(values: Float32Array, at: number, out: Uint8Array, to: number): void {
  const scaleUnit = getScale(out, to + UNITS_AT);
  const minUnit = getScale(out, to + UNITS_AT + 2);
  for (let j = 0; j < GROUPS; j++) {
    const scale = fround(scaleUnit * (out[to + j] & 15));
    if (scale === 0) continue;
    const min = fround(minUnit * (out[to + j] >> 4));
    for (let i = GROUP * j; i < GROUP * (j + 1); i++) {
      codes[i] = clamp(nearestInt(fround(fround(values[at + i] + min) / scale)), 0, 3);
    }
  }
}

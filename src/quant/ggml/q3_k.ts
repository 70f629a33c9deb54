import { clamp, nearestInt, sumOfSquares, weighByImportance } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { descendScale, searchScale } from './scale-search.ts';
import { getQuarters, putQuarters } from './two-bit-codes.ts';

const { fround, abs } = Math;

/** A superblock: sixteen groups of 16, each with a signed six-bit scale in units of one f16 number. */
const BLOCK = 256;
const GROUP = 16;
const GROUPS = 16;
/** 32 bytes of third bits, 64 of lower bits, 12 of scales, the unit. */
const BYTES = 110;
const CODES_AT = 32;
const SCALES_AT = 96;
const UNIT_AT = 108;

const codes = new Uint8Array(BLOCK);
const weights = new Float32Array(GROUP);
const scales = new Float32Array(GROUPS);
const sums = new Float32Array(GROUPS);
const scaleCodes = new Uint8Array(GROUPS);

/** Q3_K, x = scale · (code − 4) with codes of three bits. */
export const q3_k: BlockFormat = {
  quantize(values, out, width, importance) {
    for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BYTES) {
      const unit = importance ? searchWeighted(values, at, importance, at % width) : searchPlain(values, at);
      putScales(out, to + SCALES_AT);
      chooseCodes(values, at, putScale(out, to + UNIT_AT, unit));
      for (let i = 0; i < 32; i++) {
        let high = 0;
        for (let j = 0; j < 8; j++) high |= (codes[32 * j + i] >> 2) << j;
        out[to + i] = high;
      }
      putQuarters(out, to + CODES_AT, codes);
    }
  },

  dequantize(bytes, out) {
    for (let at = 0, from = 0; at < out.length; at += BLOCK, from += BYTES) {
      const unit = getScale(bytes, from + UNIT_AT);
      getScales(bytes, from + SCALES_AT);
      getQuarters(bytes, from + CODES_AT, codes);
      for (let i = 0; i < BLOCK; i++) {
        const scale = fround(unit * (scaleCodes[i >> 4] - 32));
        const high = (bytes[from + (i & 31)] >> (i >> 5)) & 1;
        out[at + i] = scale * (codes[i] + 4 * high - 4);
      }
    }
  },
};

/** Leaves the groups' codes and scales, and returns the unit: the scale of largest magnitude / −32. */
function searchPlain(values: Float32Array, at: number): number {
  let largest = 0;
  for (let j = 0; j < GROUPS; j++) {
    scales[j] = descendScale(values, at + GROUP * j, GROUP, 4, codes, GROUP * j);
    if (abs(scales[j]) > abs(largest)) largest = scales[j];
  }
  scaleCodes.fill(0);
  if (largest === 0) return 0;
  const inverse = fround(-32 / largest);
  for (let j = 0; j < GROUPS; j++) {
    const code = (nearestInt(fround(inverse * scales[j])) << 24) >> 24;
    scaleCodes[j] = clamp(code, -32, 31) + 32;
  }
  return fround(1 / inverse);
}

function searchWeighted(values: Float32Array, at: number, importance: Float32Array, column: number): number {
  const variance = fround(fround(2 * sumOfSquares(values, at, BLOCK)) / BLOCK);
  for (let j = 0; j < GROUPS; j++) {
    const start = at + GROUP * j;
    weighByImportance(values, start, GROUP, importance, column + GROUP * j, variance, weights);
    let sum = 0;
    for (let i = 0; i < GROUP; i++) sum = fround(sum + weights[i]);
    sums[j] = sum;
    scales[j] = searchScale(values, start, GROUP, weights, 4, codes, GROUP * j);
  }
  return searchScale(scales, 0, GROUPS, sums, 32, scaleCodes, 0);
}

/** Chooses codes again with the rounded scales; a group whose scale rounds to zero keeps those of the search. */
function chooseCodes(values: Float32Array, at: number, unit: number): void {
  for (let j = 0; j < GROUPS; j++) {
    const scale = fround(unit * (scaleCodes[j] - 32));
    if (scale === 0) continue;
    for (let i = GROUP * j; i < GROUP * (j + 1); i++) {
      codes[i] = clamp(nearestInt(fround(values[at + i] / scale)), -4, 3) + 4;
    }
  }
}

/** Scales j and j + 8 share byte j's halves; bits 4 and 5 of scale j lie in byte 8 + j % 4 at bit 2 · ⌊j / 4⌋. */
function putScales(out: Uint8Array, to: number): void {
  for (let j = 0; j < 8; j++) out[to + j] = (scaleCodes[j] & 15) | ((scaleCodes[j + 8] & 15) << 4);
  for (let j = 0; j < 4; j++) {
    let high = 0;
    for (let k = 0; k < 4; k++) high |= (scaleCodes[4 * k + j] >> 4) << (2 * k);
    out[to + 8 + j] = high;
  }
}

function getScales(bytes: Uint8Array, from: number): void {
  for (let j = 0; j < GROUPS; j++) {
    const low = j < 8 ? bytes[from + j] & 15 : bytes[from + j - 8] >> 4;
    scaleCodes[j] = low | (((bytes[from + 8 + (j & 3)] >> (2 * (j >> 2))) & 3) << 4);
  }
}

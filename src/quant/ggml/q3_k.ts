import { clamp, nearestInt, sumOfSquares } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import type { GroupSearch, Searches } from './group-search.ts';
import { findSymmetric } from './plain/symmetric.ts';
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

const work = new Uint8Array(BLOCK);
const scaleCodes = new Uint8Array(GROUPS);

/** Q3_K, x = scale · (code − 4) with codes of three bits. */
export const q3_k = (searches: Searches): BlockFormat => {
  const plain = searches.descent();
  const weighted = searches.symmetric({ size: GROUP, half: 4, weights: 'importance and square' });
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      const { scales, sums, codes } = search;
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BYTES) {
        if (importance) search.variances.fill(fround(fround(2 * sumOfSquares(values, at, BLOCK)) / BLOCK));
        search.find(values, at, GROUPS, importance, at % width);
        const unit = importance ? findSymmetric(32, scales, 0, GROUPS, sums, scaleCodes, 0) : divideSigned(scales);
        putScales(out, to + SCALES_AT);
        chooseCodes(search, putScale(out, to + UNIT_AT, unit));
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
        getQuarters(bytes, from + CODES_AT, work);
        for (let i = 0; i < BLOCK; i++) {
          const scale = fround(unit * (scaleCodes[i >> 4] - 32));
          const high = (bytes[from + (i & 31)] >> (i >> 5)) & 1;
          out[at + i] = scale * (work[i] + 4 * high - 4);
        }
      }
    },
  };
};

/** Fills `scaleCodes` in units of the scale of largest magnitude / −32, which is returned. */
function divideSigned(scales: Float32Array): number {
  let largest = 0;
  for (let j = 0; j < GROUPS; j++) if (abs(scales[j]) > abs(largest)) largest = scales[j];
  scaleCodes.fill(0);
  if (largest === 0) return 0;
  const inverse = fround(-32 / largest);
  for (let j = 0; j < GROUPS; j++) {
    const code = (nearestInt(fround(inverse * scales[j])) << 24) >> 24;
    scaleCodes[j] = clamp(code, -32, 31) + 32;
  }
  return fround(1 / inverse);
}

/** Chooses codes again, with the scales as they are stored. */
function chooseCodes(search: GroupSearch, unit: number): void {
  for (let j = 0; j < GROUPS; j++) search.scales[j] = unit * (scaleCodes[j] - 32);
  search.choose();
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

import { nearestInt, TINY } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import type { Searches } from './group-search.ts';

const { fround, abs } = Math;

/** A superblock: sixteen groups of 16, each with a signed byte as its scale in units of one f16 number. */
const BLOCK = 256;
const GROUP = 16;
const GROUPS = 16;
/** 128 bytes of low halves, 64 of upper bits, 16 scales, the unit. */
const BYTES = 210;
const HIGH_AT = 128;
const SCALES_AT = 192;
const UNIT_AT = 208;

const work = new Uint8Array(BLOCK);
const scaleCodes = new Int8Array(GROUPS);

/** Q6_K, x = scale · (code − 32) with codes of six bits. */
export const q6_k = (searches: Searches): BlockFormat => {
  const plain = searches.symmetric({ size: GROUP, half: 32, weights: 'square' });
  const weighted = searches.symmetric({ size: GROUP, half: 32, weights: 'importance' });
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      const { scales, codes } = search;
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BYTES) {
        search.find(values, at, GROUPS, importance, at % width);
        let largest = 0;
        for (let j = 0; j < GROUPS; j++) if (abs(scales[j]) > abs(largest)) largest = scales[j];
        if (abs(largest) < TINY) {
          out.fill(0, to, to + BYTES);
          continue;
        }
        const inverse = fround(-128 / largest);
        const unit = putScale(out, to + UNIT_AT, fround(1 / inverse));
        for (let j = 0; j < GROUPS; j++) {
          scaleCodes[j] = Math.min(127, nearestInt(fround(inverse * scales[j])));
          out[to + SCALES_AT + j] = scaleCodes[j];
          scales[j] = unit * scaleCodes[j];
        }
        search.choose();
        putCodes(out, to, codes);
      }
    },

    dequantize(bytes, out) {
      for (let at = 0, from = 0; at < out.length; at += BLOCK, from += BYTES) {
        const unit = getScale(bytes, from + UNIT_AT);
        getCodes(bytes, from);
        for (let j = 0; j < GROUPS; j++) {
          const scale = fround(unit * ((bytes[from + SCALES_AT + j] << 24) >> 24));
          for (let i = GROUP * j; i < GROUP * (j + 1); i++) out[at + i] = scale * (work[i] - 32);
        }
      }
    },
  };
};

/**
 * Half k has codes c = 128k + i, i < 32: low four bits of c and c + 64 share byte 64k + i, those of c + 32 and c + 96
 * byte 64k + 32 + i; the upper two bits of all four share byte 32k + i of the second part.
 */
function putCodes(out: Uint8Array, to: number, codes: Uint8Array): void {
  for (let k = 0; k < 2; k++)
    for (let i = 0; i < 32; i++) {
      const c = 128 * k + i;
      out[to + 64 * k + i] = (codes[c] & 15) | ((codes[c + 64] & 15) << 4);
      out[to + 64 * k + 32 + i] = (codes[c + 32] & 15) | ((codes[c + 96] & 15) << 4);
      out[to + HIGH_AT + 32 * k + i] =
        (codes[c] >> 4) | ((codes[c + 32] >> 4) << 2) | ((codes[c + 64] >> 4) << 4) | ((codes[c + 96] >> 4) << 6);
    }
}

/** Fills `work`. */
function getCodes(bytes: Uint8Array, from: number): void {
  for (let k = 0; k < 2; k++)
    for (let i = 0; i < 32; i++) {
      const c = 128 * k + i;
      const [first, second] = [bytes[from + 64 * k + i], bytes[from + 64 * k + 32 + i]];
      const high = bytes[from + HIGH_AT + 32 * k + i];
      work[c] = (first & 15) | ((high & 3) << 4);
      work[c + 32] = (second & 15) | (((high >> 2) & 3) << 4);
      work[c + 64] = (first >> 4) | (((high >> 4) & 3) << 4);
      work[c + 96] = (second >> 4) | ((high >> 6) << 4);
    }
}

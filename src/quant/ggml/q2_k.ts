import { sumOfSquares } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import type { GroupSearch, Searches } from './group-search.ts';
import { findPositiveUnit } from './positive-scale.ts';
import { divideEvenly } from './scale-codes.ts';
import { getQuarters, putQuarters } from './two-bit-codes.ts';

const { fround } = Math;

/** A superblock: sixteen groups of 16, each with a scale and a minimum of four bits in units of two f16 numbers. */
const BLOCK = 256;
const GROUP = 16;
const GROUPS = 16;
/** 16 bytes of scales (low halves) and minimums, 64 of codes, the two units. */
const BYTES = 84;
const CODES_AT = 16;
const UNITS_AT = 80;

const work = new Uint8Array(BLOCK);
const scaleCodes = new Uint8Array(GROUPS);
const minCodes = new Uint8Array(GROUPS);

/** Q2_K, x = scale · code − min with codes of two bits. */
export const q2_k = (searches: Searches): BlockFormat => {
  const group = { size: GROUP, levels: 3 } as const;
  const plain = searches.affine({
    ...group,
    first: -0.5,
    step: fround(0.1),
    trials: 15,
    absolute: true,
    weights: 'magnitude',
  });
  const weighted = searches.affine({
    ...group,
    first: fround(-0.9),
    step: fround(0.05),
    trials: 36,
    weights: 'importance and square',
  });
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BYTES) {
        if (importance) search.variances.fill(fround(sumOfSquares(values, at, BLOCK) / BLOCK));
        search.find(values, at, GROUPS, importance, at % width);
        const { scales, mins, sums } = search;
        putHeader(
          out,
          to,
          importance
            ? findPositiveUnit(scales, GROUPS, 15, scaleCodes, sums)
            : divideEvenly(scales, GROUPS, 15, scaleCodes),
          importance ? findPositiveUnit(mins, GROUPS, 15, minCodes, sums) : divideEvenly(mins, GROUPS, 15, minCodes),
        );
        chooseCodes(search, out, to);
        putQuarters(out, to + CODES_AT, search.codes);
      }
    },

    dequantize(bytes, out) {
      for (let at = 0, from = 0; at < out.length; at += BLOCK, from += BYTES) {
        const scaleUnit = getScale(bytes, from + UNITS_AT);
        const minUnit = getScale(bytes, from + UNITS_AT + 2);
        getQuarters(bytes, from + CODES_AT, work);
        for (let j = 0; j < GROUPS; j++) {
          const scale = fround(scaleUnit * (bytes[from + j] & 15));
          const min = fround(minUnit * (bytes[from + j] >> 4));
          for (let i = GROUP * j; i < GROUP * (j + 1); i++) out[at + i] = fround(scale * work[i]) - min;
        }
      }
    },
  };
};

function putHeader(out: Uint8Array, to: number, scaleUnit: number, minUnit: number): void {
  for (let j = 0; j < GROUPS; j++) out[to + j] = scaleCodes[j] | (minCodes[j] << 4);
  putScale(out, to + UNITS_AT, scaleUnit);
  putScale(out, to + UNITS_AT + 2, minUnit);
}

/** Chooses codes again, with the scales and minimums as the header has them. */
function chooseCodes(search: GroupSearch, out: Uint8Array, to: number): void {
  const scaleUnit = getScale(out, to + UNITS_AT);
  const minUnit = getScale(out, to + UNITS_AT + 2);
  for (let j = 0; j < GROUPS; j++) {
    search.scales[j] = scaleUnit * (out[to + j] & 15);
    search.mins[j] = minUnit * (out[to + j] >> 4);
  }
  search.choose();
}

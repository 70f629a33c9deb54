import { sumOfSquares } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import type { GroupSearch, Searches } from './group-search.ts';
import { findPositiveUnit } from './positive-scale.ts';
import { divideEvenly } from './scale-codes.ts';
import { putSixBit, sixBitMin, sixBitScale } from './six-bit-scales.ts';

const { fround } = Math;

/** A superblock: eight groups of 32, each with a scale and a minimum of six bits in units of two f16 numbers. */
const BLOCK = 256;
const GROUP = 32;
const GROUPS = 8;
/** Bytes of the two units and the twelve bytes of scales and minimums, with which both formats begin. */
const HEADER = 16;

const work = new Uint8Array(BLOCK);
const scaleCodes = new Uint8Array(GROUPS);
const minCodes = new Uint8Array(GROUPS);

/** Q4_K, x = scale · code − min: header, then 128 bytes of codes; groups 2k and 2k + 1 share bytes. */
export const q4_k = (searches: Searches): BlockFormat => {
  const { plain, weighted } = pair(searches, { levels: 15, first: -1, trials: 20 });
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += 144) {
        if (importance) findWeighted(search, values, at, importance, at % width, out, to, false);
        else findPlain(search, values, at, out, to);
        chooseCodes(search, out, to);
        putHalves(out, to + HEADER, search.codes);
      }
    },

    dequantize(bytes, out) {
      for (let at = 0, from = 0; at < out.length; at += BLOCK, from += 144) {
        getHalves(bytes, from + HEADER);
        scaleBack(bytes, from, out, at);
      }
    },
  };
};

/** Q5_K: header, 32 bytes of fifth bits (bit j of byte i belongs to code 32j + i), then low halves as in Q4_K. */
export const q5_k = (searches: Searches): BlockFormat => {
  const { plain, weighted } = pair(searches, { levels: 31, first: -0.5, trials: 15 });
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      const { codes } = search;
      for (let at = 0, to = 0; at < values.length; at += BLOCK, to += 176) {
        if (importance) findWeighted(search, values, at, importance, at % width, out, to, true);
        else findPlain(search, values, at, out, to);
        chooseCodes(search, out, to);
        for (let i = 0; i < GROUP; i++) {
          let high = 0;
          for (let j = 0; j < GROUPS; j++) high |= (codes[GROUP * j + i] >> 4) << j;
          out[to + HEADER + i] = high;
        }
        putHalves(out, to + HEADER + GROUP, codes);
      }
    },

    dequantize(bytes, out) {
      for (let at = 0, from = 0; at < out.length; at += BLOCK, from += 176) {
        getHalves(bytes, from + HEADER + GROUP);
        for (let i = 0; i < BLOCK; i++) work[i] |= ((bytes[from + HEADER + (i & 31)] >> (i >> 5)) & 1) << 4;
        scaleBack(bytes, from, out, at);
      }
    },
  };
};

/** Searches without and with importance. */
function pair(searches: Searches, { levels, first, trials }: { levels: 15 | 31; first: number; trials: number }) {
  const group = { size: GROUP, levels } as const;
  return {
    plain: searches.affine({ ...group, first, step: fround(0.1), trials, weights: 'magnitude + rms' }),
    weighted: searches.affine({
      ...group,
      first: fround(-0.9),
      step: fround(0.05),
      trials: 36,
      weights: 'importance and square',
    }),
  };
}

/** Writes a superblock's header: units are the largest scale and minimum / 63. */
function findPlain(search: GroupSearch, values: Float32Array, at: number, out: Uint8Array, to: number): void {
  search.find(values, at, GROUPS, null, 0);
  putScale(out, to, divideEvenly(search.scales, GROUPS, 63, scaleCodes));
  putScale(out, to + 2, divideEvenly(search.mins, GROUPS, 63, minCodes));
  limit(scaleCodes);
  limit(minCodes);
  putSixBit(out, to + 4, scaleCodes, minCodes);
}

/**
 * Writes a superblock's header: units are searched for, too.
 *
 * @param limited whether codes beyond 63, which a negative scale gives, are cut off: in Q5_K alone
 */
function findWeighted(
  search: GroupSearch,
  values: Float32Array,
  at: number,
  importance: Float32Array,
  column: number,
  out: Uint8Array,
  to: number,
  limited: boolean,
): void {
  search.variances.fill(fround(fround(2 * sumOfSquares(values, at, BLOCK)) / BLOCK));
  search.find(values, at, GROUPS, importance, column);
  putScale(out, to, findPositiveUnit(search.scales, GROUPS, 63, scaleCodes, search.sums));
  putScale(out, to + 2, findPositiveUnit(search.mins, GROUPS, 63, minCodes, search.sums));
  if (limited) {
    limit(scaleCodes);
    limit(minCodes);
  }
  putSixBit(out, to + 4, scaleCodes, minCodes);
}

function limit(codes: Uint8Array): void {
  for (let j = 0; j < GROUPS; j++) codes[j] = Math.min(63, codes[j]);
}

/** Chooses codes again, with the scales and minimums as the header has them. */
function chooseCodes(search: GroupSearch, out: Uint8Array, to: number): void {
  const scaleUnit = getScale(out, to);
  const minUnit = getScale(out, to + 2);
  for (let j = 0; j < GROUPS; j++) {
    search.scales[j] = scaleUnit * sixBitScale(out, to + 4, j);
    search.mins[j] = minUnit * sixBitMin(out, to + 4, j);
  }
  search.choose();
}

/** Values of a superblock from its header and `work`. */
function scaleBack(bytes: Uint8Array, from: number, out: Float32Array, at: number): void {
  const scaleUnit = getScale(bytes, from);
  const minUnit = getScale(bytes, from + 2);
  for (let j = 0; j < GROUPS; j++) {
    const scale = fround(scaleUnit * sixBitScale(bytes, from + 4, j));
    const min = fround(minUnit * sixBitMin(bytes, from + 4, j));
    for (let i = GROUP * j; i < GROUP * (j + 1); i++) out[at + i] = fround(scale * work[i]) - min;
  }
}

/** Low four bits of codes: byte i of 32-byte run k holds codes 64k + i and 64k + 32 + i. */
function putHalves(out: Uint8Array, to: number, codes: Uint8Array): void {
  for (let k = 0; k < 4; k++)
    for (let i = 0; i < 32; i++) out[to + 32 * k + i] = (codes[64 * k + i] & 15) | ((codes[64 * k + 32 + i] & 15) << 4);
}

/** Fills `work`. */
function getHalves(bytes: Uint8Array, from: number): void {
  for (let k = 0; k < 4; k++)
    for (let i = 0; i < 32; i++) {
      const byte = bytes[from + 32 * k + i];
      work[64 * k + i] = byte & 15;
      work[64 * k + 32 + i] = byte >> 4;
    }
}

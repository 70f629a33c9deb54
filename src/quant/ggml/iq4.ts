import { clamp, nearestInt, sumOfSquares } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { type Searches, SPAN } from './group-search.ts';
import { IQ4_VALUES } from './iq4-values.ts';

const { fround, abs } = Math;

const GROUP = 32;
const VALUES = Float32Array.from(IQ4_VALUES);

/** IQ4_NL, x = scale · value of code: f16 scale, 16 bytes of codes, for 32 values. */
export const iq4_nl = (searches: Searches): BlockFormat => {
  const { plain, weighted } = pair(searches);
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      // Spans end with rows, so that importance stays with its column.
      const row = importance ? width : values.length;
      for (let start = 0; start < values.length; start += row)
        for (let column = 0; column < row; column += SPAN) {
          const at = start + column;
          const groups = Math.min(SPAN, row - column) / GROUP;
          if (importance)
            for (let j = 0; j < groups; j++)
              search.variances[j] = sumOfSquares(values, at + GROUP * j, GROUP) * (2 / GROUP);
          search.find(values, at, groups, importance, column);
          search.choose();
          for (let j = 0; j < groups; j++) {
            const to = (at / GROUP + j) * 18;
            putScale(out, to, search.scales[j]);
            putCodes(out, to + 2, search.codes, GROUP * j);
          }
        }
    },

    dequantize(bytes, out) {
      for (let at = 0, from = 0; at < out.length; at += GROUP, from += 18)
        scaleBack(bytes, from + 2, getScale(bytes, from), out, at);
    },
  };
};

/**
 * IQ4_XS: eight groups of 32, whose scales are six bits in units of one f16 number.
 *
 * The unit, 16 bits with two upper bits of each scale, 4 bytes with the lower four, 128 bytes of codes.
 */
export const iq4_xs = (searches: Searches): BlockFormat => {
  const { plain, weighted } = pair(searches);
  return {
    quantize(values, out, width, importance) {
      const search = importance ? weighted : plain;
      const { scales } = search;
      for (let at = 0, to = 0; at < values.length; at += 256, to += 136) {
        if (importance) search.variances.fill(sumOfSquares(values, at, 256) * (2 / 256));
        search.find(values, at, 8, importance, at % width);
        let largest = 0;
        for (let j = 0; j < 8; j++) if (abs(scales[j]) > abs(largest)) largest = scales[j];
        // Codes are chosen with the unit as it was before it was rounded to f16.
        const unit = fround(-largest / 32);
        const inverse = unit !== 0 ? fround(1 / unit) : 0;
        putScale(out, to, unit);
        out.fill(0, to + 2, to + 8);
        for (let j = 0; j < 8; j++) {
          const code = clamp(nearestInt(fround(inverse * scales[j])), -32, 31);
          out[to + 2 + (j >> 2)] |= ((code + 32) >> 4) << (2 * (j & 3));
          out[to + 4 + (j >> 1)] |= ((code + 32) & 15) << (4 * (j & 1));
          scales[j] = unit * code;
        }
        search.choose();
        for (let j = 0; j < 8; j++) putCodes(out, to + 8 + 16 * j, search.codes, GROUP * j);
      }
    },

    dequantize(bytes, out) {
      for (let at = 0, from = 0; at < out.length; at += 256, from += 136) {
        const unit = getScale(bytes, from);
        for (let j = 0; j < 8; j++) {
          const low = (bytes[from + 4 + (j >> 1)] >> (4 * (j & 1))) & 15;
          const high = (bytes[from + 2 + (j >> 2)] >> (2 * (j & 3))) & 3;
          scaleBack(bytes, from + 8 + 16 * j, fround(unit * ((low | (high << 4)) - 32)), out, at + GROUP * j);
        }
      }
    },
  };
};

/** Searches without and with importance. */
function pair(searches: Searches) {
  return { plain: searches.iq4('square'), weighted: searches.iq4('importance and square') };
}

/** Codes i and i + 16 of 32 share a byte. */
function putCodes(out: Uint8Array, to: number, codes: Uint8Array, first: number): void {
  for (let i = 0; i < 16; i++) out[to + i] = codes[first + i] | (codes[first + 16 + i] << 4);
}

function scaleBack(bytes: Uint8Array, from: number, scale: number, out: Float32Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    out[at + i] = scale * VALUES[bytes[from + i] & 15];
    out[at + 16 + i] = scale * VALUES[bytes[from + i] >> 4];
  }
}

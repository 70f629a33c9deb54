import { clamp, nearestInt, sumOfSquares, TINY, weighByImportance } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';
import { largestMagnitude } from './scale-search.ts';

const { fround, abs } = Math;

/** What the sixteen codes stand for, denser near zero (kvalues_iq4nl). */
export const IQ4_VALUES = Float32Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
/** A number whose double is below threshold i takes code i at most. */
export const IQ4_THRESHOLDS = IQ4_VALUES.slice(1).map((value, i) => value + IQ4_VALUES[i]);
/** The first step is divided by the largest magnitude's code −127, trials by −127 − 7 … −127 + 7. */
const TRIALS = 7;

const GROUP = 32;
const codes = new Uint8Array(256);
const weights = new Float32Array(GROUP);
const scales = new Float32Array(8);

/** IQ4_NL, x = scale · value of code: f16 scale, 16 bytes of codes, for 32 values. */
export const iq4_nl: BlockFormat = {
  quantize(values, out, width, importance) {
    for (let at = 0, to = 0; at < values.length; at += 32, to += 18) {
      const scale = searchGroup(values, at, at, 32, importance, at % width);
      putScale(out, to, scale);
      chooseCodes(values, at, scale, 0);
      putCodes(out, to + 2, 32);
    }
  },

  dequantize(bytes, out) {
    for (let at = 0, from = 0; at < out.length; at += 32, from += 18)
      scaleBack(bytes, from + 2, getScale(bytes, from), out, at);
  },
};

/**
 * IQ4_XS: eight groups of 32, whose scales are six bits in units of one f16 number.
 *
 * The unit, 16 bits with two upper bits of each scale, 4 bytes with the lower four, 128 bytes of codes.
 */
export const iq4_xs: BlockFormat = {
  quantize(values, out, width, importance) {
    for (let at = 0, to = 0; at < values.length; at += 256, to += 136) {
      let largest = 0;
      for (let j = 0; j < 8; j++) {
        scales[j] = searchGroup(values, at + GROUP * j, at, 256, importance, (at % width) + GROUP * j);
        if (abs(scales[j]) > abs(largest)) largest = scales[j];
      }
      // Codes are chosen with the unit as it was before it was rounded to f16.
      const unit = fround(-largest / 32);
      putScale(out, to, unit);
      const inverse = unit !== 0 ? fround(1 / unit) : 0;
      out.fill(0, to + 2, to + 8);
      for (let j = 0; j < 8; j++) {
        const code = clamp(nearestInt(fround(inverse * scales[j])), -32, 31);
        chooseCodes(values, at + GROUP * j, fround(unit * code), GROUP * j);
        out[to + 2 + (j >> 2)] |= ((code + 32) >> 4) << (2 * (j & 3));
        out[to + 4 + (j >> 1)] |= ((code + 32) & 15) << (4 * (j & 1));
      }
      putCodes(out, to + 8, 256);
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

/**
 * Scale of a group of 32 by least weighted squared error over sixteen steps (quantize_row_iq4_nl_impl).
 *
 * @param block first value of the block, of `size` values, whose variance importance is combined with
 */
function searchGroup(
  values: Float32Array,
  at: number,
  block: number,
  size: number,
  importance: Float32Array | null,
  column: number,
): number {
  const largest = largestMagnitude(values, at, GROUP);
  if (abs(largest) < TINY) return 0;
  if (importance) {
    const variance = fround(sumOfSquares(values, block, size) * (2 / size));
    weighByImportance(values, at, GROUP, importance, column, variance, weights);
  } else for (let i = 0; i < GROUP; i++) weights[i] = values[at + i] * values[at + i];

  let scale = 0;
  let best = 0;
  for (let t = -TRIALS - 1; t <= TRIALS; t++) {
    const first = t < -TRIALS;
    const inverse = first ? fround(1 / fround(-largest / IQ4_VALUES[0])) : fround((t + IQ4_VALUES[0]) / largest);
    let sumXQ = 0;
    let sumQ2 = 0;
    for (let i = 0; i < GROUP; i++) {
      const q = IQ4_VALUES[nearestCode(fround(inverse * values[at + i]))];
      const weighted = fround(weights[i] * q);
      sumXQ = fround(sumXQ + fround(weighted * values[at + i]));
      sumQ2 = fround(sumQ2 + fround(weighted * q));
    }
    if (first) {
      scale = sumQ2 > 0 ? fround(sumXQ / sumQ2) : 0;
      best = fround(scale * sumXQ);
    } else if (sumQ2 > 0 && fround(sumXQ * sumXQ) > fround(best * sumQ2)) {
      scale = fround(sumXQ / sumQ2);
      best = fround(scale * sumXQ);
    }
  }
  return scale;
}

/** Codes of 32 values for a scale; all of zero's code where the scale is zero. */
function chooseCodes(values: Float32Array, at: number, scale: number, to: number): void {
  const inverse = scale !== 0 ? fround(1 / scale) : 0;
  for (let i = 0; i < GROUP; i++) codes[to + i] = nearestCode(fround(inverse * values[at + i]));
}

/** Index of the nearest value, the upper one when in the middle; 15 for NaN. */
function nearestCode(x: number): number {
  const twice = fround(x + x);
  let code = twice < IQ4_THRESHOLDS[7] ? 0 : 8;
  if (!(twice < IQ4_THRESHOLDS[code + 3])) code += 4;
  if (!(twice < IQ4_THRESHOLDS[code + 1])) code += 2;
  if (!(twice < IQ4_THRESHOLDS[code])) code += 1;
  return code;
}

/** Codes i and i + 16 of each 32 share a byte. */
function putCodes(out: Uint8Array, to: number, count: number): void {
  for (let k = 0; k < count; k += 32)
    for (let i = 0; i < 16; i++) out[to + k / 2 + i] = codes[k + i] | (codes[k + 16 + i] << 4);
}

function scaleBack(bytes: Uint8Array, from: number, scale: number, out: Float32Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    out[at + i] = scale * IQ4_VALUES[bytes[from + i] & 15];
    out[at + 16 + i] = scale * IQ4_VALUES[bytes[from + i] >> 4];
  }
}

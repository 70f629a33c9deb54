import { larger } from './float.ts';
import { type BlockFormat, getScale, putScale } from './format.ts';

const { fround, abs, floor } = Math;

/** Weights that share a scale. */
const BLOCK = 32;
/** An f16 scale and 32 signed bytes. */
const BYTES = 34;

/**
 * Q8_0: scale = largest magnitude / 127, codes rounded half away from zero with the scale as it was before it was
 * rounded to f16.
 */
export const q8_0: BlockFormat = {
  quantize(values, out) {
    for (let at = 0, to = 0; at < values.length; at += BLOCK, to += BYTES) {
      let largest = 0;
      for (let i = at; i < at + BLOCK; i++) largest = larger(largest, abs(values[i]));
      const scale = fround(largest / 127);
      const inverse = scale === 0 ? 0 : fround(1 / scale);
      putScale(out, to, scale);
      for (let i = 0; i < BLOCK; i++) {
        const x = fround(values[at + i] * inverse);
        out[to + 2 + i] = x < 0 ? -floor(0.5 - x) : floor(x + 0.5);
      }
    }
  },

  dequantize(bytes, out) {
    for (let at = 0, from = 0; at < out.length; at += BLOCK, from += BYTES) {
      const scale = getScale(bytes, from);
      for (let i = 0; i < BLOCK; i++) out[at + i] = ((bytes[from + 2 + i] << 24) >> 24) * scale;
    }
  },
};

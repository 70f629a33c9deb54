import { largestMagnitude, TINY } from '../float.ts';
import type { GroupSearch } from '../group-search.ts';
import { IQ4_THRESHOLDS, IQ4_TRIALS, IQ4_VALUES } from '../iq4-values.ts';

const { fround, abs } = Math;

/** Values of a group. */
const SIZE = 32;

/** Finds the scale of a group of 32 over sixteen steps (quantize_row_iq4_nl_impl of ggml-quants.c). */
export function findIq4(x: Float32Array, at: number, weights: Float32Array): number {
  const largest = largestMagnitude(x, at, SIZE);
  if (abs(largest) < TINY) return 0;
  let scale = 0;
  let best = 0;
  for (let t = -IQ4_TRIALS - 1; t <= IQ4_TRIALS; t++) {
    const first = t < -IQ4_TRIALS;
    const inverse = first ? fround(1 / fround(-largest / IQ4_VALUES[0])) : fround((t + IQ4_VALUES[0]) / largest);
    let sumXQ = 0;
    let sumQ2 = 0;
    for (let i = 0; i < SIZE; i++) {
      const q = IQ4_VALUES[nearestCode(fround(inverse * x[at + i]))];
      const weighted = fround(weights[i] * q);
      sumXQ = fround(sumXQ + fround(weighted * x[at + i]));
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

/** Codes of a group for its scale; all of zero's code where the scale is zero. */
export function chooseIq4(x: Float32Array, at: number, { scales, codes }: GroupSearch, group: number): void {
  const scale = scales[group];
  const inverse = scale !== 0 ? fround(1 / scale) : 0;
  for (let i = 0; i < SIZE; i++) codes[SIZE * group + i] = nearestCode(fround(inverse * x[at + i]));
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

import { clamp, isBetter, largestMagnitude, nearestInt, TINY } from '../float.ts';

const { fround, abs } = Math;

/** Rounds at most. */
const ROUNDS = 5;
const signed = new Int32Array(16);

/**
 * Finds the scale of values and their codes, stored plus `half`, by coordinate descent (make_q3_quants of
 * ggml-quants.c): each code in turn moves to where the best scale of the others wants it.
 *
 * @param count of values from x[at], of weights, and of codes from index `codesAt`; at most 16
 * @returns the scale
 */
export function findByDescent(
  half: number,
  x: Float32Array,
  at: number,
  count: number,
  weights: Float32Array,
  codes: Uint8Array,
  codesAt: number,
): number {
  const largest = largestMagnitude(x, at, count);
  if (abs(largest) < TINY) {
    codes.fill(0, codesAt, codesAt + count);
    return 0;
  }
  const inverse = fround(-half / largest);
  let sumXL = 0;
  let sumL2 = 0;
  for (let i = 0; i < count; i++) {
    const code = clamp(nearestInt(fround(inverse * x[at + i])), -half, half - 1);
    signed[i] = code;
    sumXL = fround(sumXL + fround(fround(weights[i] * x[at + i]) * code));
    sumL2 = fround(sumL2 + fround(fround(weights[i] * code) * code));
  }
  for (let round = 0, changed = true; round < ROUNDS && changed; round++) {
    changed = false;
    for (let i = 0; i < count; i++) {
      const weighted = fround(weights[i] * x[at + i]);
      const code = signed[i];
      let xl = fround(sumXL - fround(weighted * code));
      if (!(xl > 0)) continue;
      let l2 = fround(sumL2 - fround(fround(weights[i] * code) * code));
      const moved = clamp(nearestInt(fround(fround(x[at + i] * l2) / xl)), -half, half - 1);
      if (moved === code) continue;
      xl = fround(xl + fround(weighted * moved));
      l2 = fround(l2 + fround(fround(weights[i] * moved) * moved));
      if (l2 > 0 && isBetter(xl, l2, sumXL, sumL2)) {
        signed[i] = moved;
        sumXL = xl;
        sumL2 = l2;
        changed = true;
      }
    }
  }
  for (let i = 0; i < count; i++) codes[codesAt + i] = signed[i] + half;
  return sumL2 > 0 ? fround(sumXL / sumL2) : 0;
}

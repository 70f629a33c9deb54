import { clamp, largestMagnitude, nearestInt, TINY } from '../float.ts';
import type { GroupSearch } from '../group-search.ts';

const { fround, abs } = Math;

const TENTH = fround(0.1);

/**
 * Finds the scale of values and their codes, stored plus `half` (make_qx_quants of ggml-quants.c with a weighted squared
 * error).
 *
 * @param count of values from x[at], of weights, and of codes from index `codesAt`
 * @returns the scale; its sign is that which gives the largest magnitude the code −half
 */
export function findSymmetric(
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
  let chosen = fround(-half / largest);
  let scale = 0;
  let best = 0;
  for (let t = 0; t <= 18; t++) {
    // First the plain step, then −9..9 tenths of a code more or less.
    const tenths = t === 0 ? 0 : t < 10 ? t - 10 : t - 9;
    const inverse = t === 0 ? chosen : fround(-fround(half + fround(TENTH * tenths)) / largest);
    let sumXL = 0;
    let sumL2 = 0;
    for (let i = 0; i < count; i++) {
      const code = clamp(nearestInt(fround(inverse * x[at + i])), -half, half - 1);
      sumXL = fround(sumXL + fround(fround(weights[i] * x[at + i]) * code));
      sumL2 = fround(sumL2 + fround(fround(weights[i] * code) * code));
    }
    if (t === 0) {
      scale = sumL2 !== 0 ? fround(sumXL / sumL2) : 0;
      best = fround(scale * sumXL);
    } else if (sumL2 > 0 && fround(sumXL * sumXL) > fround(best * sumL2)) {
      chosen = inverse;
      scale = fround(sumXL / sumL2);
      best = fround(scale * sumXL);
    }
  }
  for (let i = 0; i < count; i++)
    codes[codesAt + i] = half + clamp(nearestInt(fround(chosen * x[at + i])), -half, half - 1);
  return scale;
}

/** Codes of a group for its scale, unless that is zero. */
export function chooseSymmetric(
  half: number,
  x: Float32Array,
  at: number,
  size: number,
  { scales, codes }: GroupSearch,
  group: number,
): void {
  const scale = scales[group];
  if (scale === 0) return;
  for (let i = 0; i < size; i++)
    codes[size * group + i] = half + clamp(nearestInt(fround(x[at + i] / scale)), -half, half - 1);
}

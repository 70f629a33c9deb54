import { clamp, nearestInt } from '../float.ts';
import type { AffineOptions, GroupSearch } from '../group-search.ts';

const { fround, abs } = Math;

const trial = new Uint8Array(32);
const half = trial.subarray(0, 16);

/**
 * Finds scale, minimum and codes of a group (make_qkx2_quants and make_qkx3_quants of ggml-quants.c).
 *
 * Every trial fixes the codes by its own step, then fits scale and minimum to them by weighted least squares.
 *
 * @param at first value of the group
 * @param weights of its errors
 */
export function findAffine(
  { size, levels, first, step, trials, absolute = false }: AffineOptions,
  x: Float32Array,
  at: number,
  weights: Float32Array,
  { scales, mins, codes }: GroupSearch,
  group: number,
): void {
  const codesAt = size * group;
  let min = x[at];
  let max = x[at];
  let sumW = weights[0];
  let sumX = fround(sumW * x[at]);
  for (let i = 1; i < size; i++) {
    const value = x[at + i];
    if (value < min) min = value;
    if (value > max) max = value;
    sumW = fround(sumW + weights[i]);
    sumX = fround(sumX + fround(weights[i] * value));
  }
  if (min > 0) min = 0;
  if (max === min) {
    codes.fill(0, codesAt, codesAt + size);
    mins[group] = -min;
    scales[group] = 0;
    return;
  }
  let inverse = fround(levels / fround(max - min));
  let scale = fround(1 / inverse);
  for (let i = 0; i < size; i++) trial[i] = clamp(nearestInt(fround(inverse * fround(x[at + i] - min))), 0, levels);
  let best = weightedError(x, at, size, weights, scale, min, absolute);
  codes.set(size === 32 ? trial : half, codesAt);

  // A better minimum changes the trials after it: they start from it.
  for (let t = 0; t <= trials; t++) {
    inverse = fround(fround(fround(first + fround(step * t)) + levels) / fround(max - min));
    let sumL = 0;
    let sumL2 = 0;
    let sumXL = 0;
    for (let i = 0; i < size; i++) {
      const value = x[at + i];
      const code = clamp(nearestInt(fround(inverse * fround(value - min))), 0, levels);
      trial[i] = code;
      const weighted = fround(weights[i] * code);
      sumL = fround(sumL + weighted);
      sumL2 = fround(sumL2 + fround(weighted * code));
      sumXL = fround(sumXL + fround(weighted * value));
    }
    const determinant = fround(fround(sumW * sumL2) - fround(sumL * sumL));
    if (!(determinant > 0)) continue;
    let thisScale = fround(fround(fround(sumW * sumXL) - fround(sumX * sumL)) / determinant);
    let thisMin = fround(fround(fround(sumL2 * sumX) - fround(sumL * sumXL)) / determinant);
    if (thisMin > 0) {
      thisMin = 0;
      thisScale = fround(sumXL / sumL2);
    }
    const error = weightedError(x, at, size, weights, thisScale, thisMin, absolute);
    if (error < best) {
      codes.set(size === 32 ? trial : half, codesAt);
      best = error;
      scale = thisScale;
      min = thisMin;
    }
  }
  mins[group] = -min;
  scales[group] = scale;
}

/** Weighted sum of |scale · code + min − x| or of its square, for the codes in `trial`. */
function weightedError(
  x: Float32Array,
  at: number,
  count: number,
  weights: Float32Array,
  scale: number,
  min: number,
  absolute: boolean,
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const difference = fround(fround(fround(scale * trial[i]) + min) - x[at + i]);
    const error = absolute ? abs(difference) : fround(difference * difference);
    sum = fround(sum + fround(weights[i] * error));
  }
  return sum;
}

/** Codes of a group for its scale and minimum, unless the scale is zero. */
export function chooseAffine(
  { size, levels }: AffineOptions,
  x: Float32Array,
  at: number,
  { scales, mins, codes }: GroupSearch,
  group: number,
): void {
  const scale = scales[group];
  const min = mins[group];
  if (scale === 0) return;
  for (let i = 0; i < size; i++)
    codes[size * group + i] = clamp(nearestInt(fround(fround(x[at + i] + min) / scale)), 0, levels);
}

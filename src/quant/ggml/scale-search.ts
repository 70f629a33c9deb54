import { clamp, larger, nearestInt, TINY } from './float.ts';

/**
 * Searches for the scale (and minimum) that quantises a group of values with the least weighted squared error, with
 * the trials, rounding and order of summation of ggml's ggml-quants.c (its names are given below).
 */

const { fround, abs } = Math;

const trial = new Uint8Array(32);

/** Trial i divides the range of a group into `levels + first + i·step` parts. */
export interface AffineSearch {
  /** Largest code. */
  levels: number;
  first: number;
  step: number;
  trials: number;
  /** Minimises absolute errors in place of squared ones. */
  absolute?: boolean;
}

/**
 * Codes 0..levels with x ≈ scale · code − min, where min ≥ 0 (make_qkx2_quants, make_qkx3_quants).
 *
 * Every trial fixes the codes by its own step, then fits scale and minimum to them by weighted least squares.
 *
 * @param x the group is `count` values from `at`
 * @param weights of its errors
 * @param codes receives the codes from index `codesAt`
 * @param mins receives the minimum at index `group`
 * @returns the scale
 */
export function searchScaleAndMin(
  x: Float32Array,
  at: number,
  count: number,
  weights: Float32Array,
  { levels, first, step, trials, absolute = false }: AffineSearch,
  codes: Uint8Array,
  codesAt: number,
  mins: Float32Array,
  group: number,
): number {
  let min = x[at];
  let max = x[at];
  let sumW = weights[0];
  let sumX = fround(sumW * x[at]);
  for (let i = 1; i < count; i++) {
    const value = x[at + i];
    if (value < min) min = value;
    if (value > max) max = value;
    sumW = fround(sumW + weights[i]);
    sumX = fround(sumX + fround(weights[i] * value));
  }
  if (min > 0) min = 0;
  if (max === min) {
    codes.fill(0, codesAt, codesAt + count);
    mins[group] = -min;
    return 0;
  }
  let inverse = fround(levels / fround(max - min));
  let scale = fround(1 / inverse);
  for (let i = 0; i < count; i++) trial[i] = clamp(nearestInt(fround(inverse * fround(x[at + i] - min))), 0, levels);
  let best = weightedError(x, at, count, weights, scale, min, absolute);
  codes.set(count === 32 ? trial : trial.subarray(0, count), codesAt);

  // A better minimum changes the trials after it: they start from it.
  for (let t = 0; t <= trials; t++) {
    inverse = fround(fround(fround(first + fround(step * t)) + levels) / fround(max - min));
    let sumL = 0;
    let sumL2 = 0;
    let sumXL = 0;
    for (let i = 0; i < count; i++) {
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
    const error = weightedError(x, at, count, weights, thisScale, thisMin, absolute);
    if (error < best) {
      codes.set(count === 32 ? trial : trial.subarray(0, count), codesAt);
      best = error;
      scale = thisScale;
      min = thisMin;
    }
  }
  mins[group] = -min;
  return scale;
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

/**
 * Codes −half..half−1, stored plus `half`, with x ≈ scale · code (make_qx_quants with weighted squared errors).
 *
 * @param count of values from x[at] and of weights
 * @param codes receives the codes from index `codesAt`
 * @returns the scale; its sign is that which gives the largest magnitude the code −half
 */
export function searchScale(
  x: Float32Array,
  at: number,
  count: number,
  weights: Float32Array,
  half: number,
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

const TENTH = fround(0.1);
const descentWeights = new Float32Array(16);
const descentCodes = new Int32Array(16);

/**
 * Codes −half..half−1, stored plus `half`, with x ≈ scale · code and errors weighted by x² (make_q3_quants).
 *
 * Five rounds of coordinate descent: each code in turn moves to where the best scale of the others wants it.
 */
export function descendScale(
  x: Float32Array,
  at: number,
  count: number,
  half: number,
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
    const weight = fround(x[at + i] * x[at + i]);
    descentCodes[i] = code;
    descentWeights[i] = weight;
    sumXL = fround(sumXL + fround(fround(weight * x[at + i]) * code));
    sumL2 = fround(sumL2 + fround(fround(weight * code) * code));
  }
  for (let round = 0, changed = true; round < 5 && changed; round++) {
    changed = false;
    for (let i = 0; i < count; i++) {
      const weight = descentWeights[i];
      const weighted = fround(weight * x[at + i]);
      const code = descentCodes[i];
      let xl = fround(sumXL - fround(weighted * code));
      if (!(xl > 0)) continue;
      let l2 = fround(sumL2 - fround(fround(weight * code) * code));
      const moved = clamp(nearestInt(fround(fround(x[at + i] * l2) / xl)), -half, half - 1);
      if (moved === code) continue;
      xl = fround(xl + fround(weighted * moved));
      l2 = fround(l2 + fround(fround(weight * moved) * moved));
      if (l2 > 0 && isBetter(xl, l2, sumXL, sumL2)) {
        descentCodes[i] = moved;
        sumXL = xl;
        sumL2 = l2;
        changed = true;
      }
    }
  }
  for (let i = 0; i < count; i++) codes[codesAt + i] = descentCodes[i] + half;
  return sumL2 > 0 ? fround(sumXL / sumL2) : 0;
}

/**
 * Codes 0..levels with x ≈ scale · code for x ≥ 0, the scales of groups (make_qp_quants).
 *
 * A search over nine steps, then coordinate descent as in {@link descendScale}. Codes wrap to a byte where ggml's do.
 */
export function searchPositiveScale(
  x: Float32Array,
  count: number,
  levels: number,
  codes: Uint8Array,
  weights: Float32Array,
): number {
  let largest = 0;
  for (let i = 0; i < count; i++) largest = larger(largest, x[i]);
  if (largest < TINY) {
    codes.fill(0, 0, count);
    return 0;
  }
  let inverse = fround(levels / largest);
  let best = 0;
  const plain = fround(1 / inverse);
  for (let i = 0; i < count; i++) {
    codes[i] = nearestInt(fround(inverse * x[i]));
    best = fround(best + weightedSquare(weights[i], fround(x[i] - fround(plain * codes[i]))));
  }
  for (let t = -4; t <= 4; t++) {
    if (t === 0) continue;
    const thisInverse = fround(fround(fround(TENTH * t) + levels) / largest);
    const scale = fround(1 / thisInverse);
    let error = 0;
    for (let i = 0; i < count; i++) {
      const code = Math.min(levels, nearestInt(fround(thisInverse * x[i])));
      error = fround(error + weightedSquare(weights[i], fround(x[i] - fround(scale * code))));
    }
    if (error < best) {
      best = error;
      inverse = thisInverse;
    }
  }
  let sumXL = 0;
  let sumL2 = 0;
  for (let i = 0; i < count; i++) {
    const code = Math.min(levels, nearestInt(fround(inverse * x[i])));
    codes[i] = code;
    sumXL = fround(sumXL + fround(fround(weights[i] * x[i]) * code));
    sumL2 = fround(sumL2 + fround(fround(weights[i] * code) * code));
  }
  for (let round = 0, changed = true; round < 5 && changed; round++) {
    changed = false;
    for (let i = 0; i < count; i++) {
      const weighted = fround(weights[i] * x[i]);
      const code = codes[i];
      let xl = fround(sumXL - fround(weighted * code));
      let l2 = fround(sumL2 - fround(fround(weights[i] * code) * code));
      if (!(xl > 0 && l2 > 0)) continue;
      const moved = Math.min(levels, nearestInt(fround(fround(x[i] * l2) / xl)));
      if (moved === code) continue;
      xl = fround(xl + fround(weighted * moved));
      l2 = fround(l2 + fround(fround(weights[i] * moved) * moved));
      if (isBetter(xl, l2, sumXL, sumL2)) {
        codes[i] = moved;
        sumXL = xl;
        sumL2 = l2;
        changed = true;
      }
    }
  }
  return sumL2 > 0 ? fround(sumXL / sumL2) : 0;
}

/** The value of largest magnitude with its sign, the first among equals; 0 if there is none. */
export function largestMagnitude(x: Float32Array, at: number, count: number): number {
  let largest = 0;
  let magnitude = 0;
  for (let i = at; i < at + count; i++) {
    if (abs(x[i]) > magnitude) {
      largest = x[i];
      magnitude = abs(largest);
    }
  }
  return largest;
}

/** Whether the best scale for sums (xl, l2) leaves less error than that for the old ones: xl²/l2 is what it removes. */
function isBetter(xl: number, l2: number, oldXL: number, oldL2: number): boolean {
  return fround(fround(xl * xl) * oldL2) > fround(fround(oldXL * oldXL) * l2);
}

function weightedSquare(weight: number, difference: number): number {
  return fround(fround(weight * difference) * difference);
}

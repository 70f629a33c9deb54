/**
 * Arithmetic that ggml's quantisers share.
 *
 * Their bytes follow from rounding to f32 after every single operation; the TypeScript here spells each rounding out
 * as `Math.fround`. Rounding an f64 result of two f32 operands gives the f32 result for + − × ÷ and √ (53 ≥ 2·24 + 2
 * bits, Figueroa 1995), so nothing else is needed.
 */

/** 1.5·2^23: an f32 next to it has no fraction bits, so adding it rounds to a whole number, ties to even. */
export const ROUNDER = 12582912;
const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/**
 * Rounds to the nearest integer as ggml does: by the low bits of an f32 sum.
 *
 * Beyond ±2^22, for infinities and for NaN that gives some other integer, and overflowing blocks depend on which.
 */
export function nearestInt(x: number): number {
  float[0] = x + ROUNDER;
  return (bits[0] & 0x7fffff) - 0x400000;
}

export function clamp(code: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, code));
}

/** The larger of two; the second where either is NaN, unlike Math.max, since ggml's macro compares. */
export function larger(a: number, b: number): number {
  if (a > b) return a;
  return b;
}

/** A scale below this counts as zero (ggml's GROUP_MAX_EPS). */
export const TINY = Math.fround(1e-15);

/** Sum of squares in index order, each step rounded. */
export function sumOfSquares(x: Float32Array, start: number, count: number): number {
  let sum = 0;
  for (let i = start; i < start + count; i++) sum = Math.fround(sum + Math.fround(x[i] * x[i]));
  return sum;
}

/** The value of largest magnitude with its sign, the first among equals; 0 if there is none. */
export function largestMagnitude(x: Float32Array, at: number, count: number): number {
  let largest = 0;
  let magnitude = 0;
  for (let i = at; i < at + count; i++) {
    if (Math.abs(x[i]) > magnitude) {
      largest = x[i];
      magnitude = Math.abs(largest);
    }
  }
  return largest;
}

/** Whether the best scale for sums (xl, l2) leaves less error than that for the old ones: xl²/l2 is what it removes. */
export function isBetter(xl: number, l2: number, oldXL: number, oldL2: number): boolean {
  return Math.fround(Math.fround(xl * xl) * oldL2) > Math.fround(Math.fround(oldXL * oldXL) * l2);
}

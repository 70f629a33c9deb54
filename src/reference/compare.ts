/**
 * Largest error over the largest reference value: max|actual − expected| / max|expected|.
 *
 * NaN when lengths differ, when there is nothing to compare, or when a value is not finite that should be; an all-zero reference is held absolutely.
 */
export function maxErrorOverMax(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length || expected.length === 0) return Number.NaN;
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]));
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= worst)) worst = error;
    if (Number.isNaN(worst)) return Number.NaN;
  }
  return scale === 0 ? worst : worst / scale;
}

/** ‖actual − expected‖ / ‖expected‖; NaN and zeros as in {@link maxErrorOverMax}. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length || expected.length === 0) return Number.NaN;
  let error = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return norm === 0 ? Math.sqrt(error) : Math.sqrt(error / norm);
}

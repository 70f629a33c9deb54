import { isBetter, larger, nearestInt, TINY } from './float.ts';

const { fround } = Math;

const TENTH = fround(0.1);

/**
 * Codes 0..levels of the scales of groups, which are not negative, and the unit that they count (make_qp_quants of
 * ggml-quants.c).
 *
 * A search over nine steps, then coordinate descent. Codes wrap to a byte where ggml's do.
 */
export function findPositiveUnit(
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

function weightedSquare(weight: number, difference: number): number {
  return fround(fround(weight * difference) * difference);
}

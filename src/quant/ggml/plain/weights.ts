import { sumOfSquares } from '../float.ts';
import type { Weights } from '../group-search.ts';

const { fround, abs, sqrt } = Math;

/**
 * How the errors of a group of values from x[at] weigh.
 *
 * @param importance one weight a column, of which the group's first is `column`
 * @param variance of the values around
 * @param out filled with as many weights as it is long
 */
export function weigh(
  kind: Weights,
  x: Float32Array,
  at: number,
  importance: Float32Array,
  column: number,
  variance: number,
  out: Float32Array,
): void {
  const size = out.length;
  switch (kind) {
    case 'magnitude + rms': {
      const rms = fround(sqrt(fround(sumOfSquares(x, at, size) / size)));
      for (let i = 0; i < size; i++) out[i] = rms + abs(x[at + i]);
      break;
    }
    case 'magnitude':
      for (let i = 0; i < size; i++) out[i] = abs(x[at + i]);
      break;
    case 'square':
      for (let i = 0; i < size; i++) out[i] = x[at + i] * x[at + i];
      break;
    case 'importance':
      for (let i = 0; i < size; i++) out[i] = importance[column + i];
      break;
    case 'importance and square':
      for (let i = 0; i < size; i++) {
        const square = fround(x[at + i] * x[at + i]);
        out[i] = importance[column + i] * fround(sqrt(fround(variance + square)));
      }
  }
}

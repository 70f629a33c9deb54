import { nearestInt } from './float.ts';

/**
 * Codes of the scales of groups in units of the largest / levels, 0..levels, as ggml chooses them without importance.
 *
 * Codes wrap to a byte where ggml's do.
 *
 * @returns the unit; 0 where no scale is positive
 */
export function divideEvenly(scales: Float32Array, groups: number, levels: number, codes: Uint8Array): number {
  let largest = 0;
  for (let j = 0; j < groups; j++) if (scales[j] > largest) largest = scales[j];
  const inverse = largest > 0 ? Math.fround(levels / largest) : 0;
  for (let j = 0; j < groups; j++) codes[j] = nearestInt(Math.fround(inverse * scales[j]));
  return Math.fround(largest / levels);
}

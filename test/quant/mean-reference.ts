import { sumPlan } from '../../src/quant/mean.ts';

/** {@link cudaMean} on the host: the same order of additions in plain loops. */
export function cudaMeanReference(x: Float32Array): number {
  const { width, blocks, vectorized } = sumPlan(x.length);
  const fold = (sums: Float32Array) => {
    for (let half = sums.length / 2; half >= 1; half /= 2) for (let i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
  };
  const perBlock = Float32Array.from({ length: blocks }, (_, block) =>
    fold(
      Float32Array.from({ length: width }, (_, thread) => {
        const s = new Float32Array(4);
        const start = block * width + thread;
        const fours = Math.floor(x.length / 4);
        if (vectorized) {
          for (let i = start; i < fours; i += width * blocks) for (let k = 0; k < 4; k++) s[k] += x[4 * i + k];
          if (4 * fours + start < x.length) s[0] += x[4 * fours + start];
        } else for (let i = start, k = 0; i < x.length; i += width * blocks, k++) s[k % 4] += x[i];
        return Math.fround(Math.fround(s[0] + s[1]) + s[2]) + s[3];
      }),
    ),
  );
  let sum = perBlock[0];
  if (blocks > 1) {
    const sums = new Float32Array(width);
    for (const [i, value] of perBlock.entries()) sums[i % width] += value;
    sum = fold(sums);
  }
  return Math.fround(sum * Math.fround(1 / Math.fround(x.length)));
}

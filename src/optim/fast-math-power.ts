/**
 * beta^t as CUDA's fast math computes it: `ex2.approx(t · lg2.approx(beta))`.
 *
 * bitsandbytes builds its kernels with --use_fast_math. The special function unit is exact to some 22 bits, which is
 * nothing for beta^t but 3e-5 for the bias correction 1 - beta^t of the first steps, and that is a relative change of every
 * update. To train as bitsandbytes does, step by step, we need the same powers.
 */
export function fastMathPower(beta: number, t: number): number {
  const base = Math.fround(beta);
  if (base === 0) return 0;
  const log = FAST_LOG2.get(base) ?? Math.fround(Math.log2(base));
  return fastExp2(Math.fround(t * log));
}

/** `lg2.approx.ftz.f32` where it matters, read on an H100; elsewhere the correctly rounded logarithm stands in. */
const FAST_LOG2 = new Map(
  (
    [
      [0.5, 0xbf7ffffe],
      [0.8, 0xbea4d3bd],
      [0.85, 0xbe7017a1],
      [0.9, 0xbe1ba6b3],
      [0.95, 0xbd978d9b],
      [0.98, 0xbceec429],
      [0.99, 0xbc6d8f4e],
      [0.995, 0xbbecf67c],
      [0.997, 0xbb8e08fb],
      [0.998, 0xbb3d478f],
      [0.999, 0xbabd2dfc],
      [0.9995, 0xba3d2265],
      [0.9999, 0xb9173d32],
      [0.99999, 0xb7713ac0],
    ] as const
  ).map(([beta, bits]) => [Math.fround(beta), new Float32Array(Uint32Array.of(bits).buffer)[0]]),
);

/**
 * `ex2.approx.ftz.f32` for x ≤ 0. The unit interpolates 2^f in 64 segments with truncated quadratics (Oberman & Siu 2005);
 * only the last segment, results above 0.989, is near enough to 1 for its error to show in 1 - 2^x. Its coefficients are
 * fitted to readings of an H100 and give 97 % of them exactly, the others to one unit in the last place.
 */
function fastExp2(x: number): number {
  if (x <= -1 / 64) return Math.fround(2 ** x);
  const steps = Math.ceil(x * 2 ** 23); // The unit truncates its argument to 23 bits after the point.
  if (steps === 0) return 1;
  const u = 1 + steps / 2 ** 17; // 0 … 1 over the segment.
  return Math.floor(16596491.75 + 179744 * u + 980 * u * u) / 2 ** 24;
}

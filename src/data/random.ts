/**
 * Seeded pseudo-random numbers, so that a run can be repeated bit for bit: xoshiro128** (Blackman and Vigna, "Scrambled
 * linear pseudorandom number generators", 2018), its 128 bits of state filled from the seed by SplitMix64.
 *
 * Not for cryptography.
 */
export class Random {
  private readonly state = new Uint32Array(4);
  private spareNormal: number | null = null;

  /**
   * @param seed a safe integer; every seed gives its own sequence
   * @throws RangeError when the seed is no safe integer
   */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`Random: seed ${seed} is not a safe integer`);
    let mix = BigInt.asUintN(64, BigInt(seed));
    for (let i = 0; i < 4; i += 2) {
      mix = BigInt.asUintN(64, mix + 0x9e3779b97f4a7c15n);
      let z = mix;
      z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
      z ^= z >> 31n;
      this.state[i] = Number(z & 0xffffffffn);
      this.state[i + 1] = Number(z >> 32n);
    }
  }

  /** The next 32 random bits as a whole number in [0, 2^32). */
  bits(): number {
    const s = this.state;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** Uniform in [0, 1), with all 53 bits of a double's significand. */
  uniform(): number {
    const high = this.bits() >>> 5;
    const low = this.bits() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** Standard normal (mean 0, variance 1), by Marsaglia's polar method, which gives two at a time. */
  normal(): number {
    if (this.spareNormal !== null) {
      const spare = this.spareNormal;
      this.spareNormal = null;
      return spare;
    }
    for (;;) {
      const x = 2 * this.uniform() - 1;
      const y = 2 * this.uniform() - 1;
      const radius = x * x + y * y;
      if (radius === 0 || radius >= 1) continue;
      const scale = Math.sqrt((-2 * Math.log(radius)) / radius);
      this.spareNormal = y * scale;
      return x * scale;
    }
  }

  /**
   * A whole number in [0, n), every one equally likely.
   * @throws RangeError unless n is a whole number in [1, 2^32]
   */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) throw new RangeError(`Random.below: ${n} is not in [1, 2^32]`);
    // Draws beyond the last full multiple of n would favour small results.
    const limit = 2 ** 32 - (2 ** 32 % n);
    for (;;) {
      const bits = this.bits();
      if (bits < limit) return bits % n;
    }
  }

  /** A new list with the same elements in random order (Fisher and Yates). */
  shuffle<T>(list: readonly T[]): T[] {
    const result = [...list];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [result[i], result[j]] = [result[j], result[i]];
    }
    return result;
  }
}

function rotateLeft(x: number, count: number): number {
  return (x << count) | (x >>> (32 - count));
}

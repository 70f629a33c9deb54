import { describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.ts';

describe('Random', () => {
  it('is xoshiro128** from its definition', () => {
    // The generator again in BigInt, from the algorithm's page, with splitmix32 for its state.
    const mask = 0xffffffffn;
    const times = (x: bigint, y: bigint) => (x * y) & mask;
    let seed = 12345n;
    const state = Array.from({ length: 4 }, () => {
      seed = (seed + 0x9e3779b9n) & mask;
      let z = times(seed ^ (seed >> 16n), 0x21f0aaadn);
      z = times(z ^ (z >> 15n), 0x735a2d97n);
      return z ^ (z >> 15n);
    });
    const rotate = (x: bigint, k: bigint) => ((x << k) | (x >> (32n - k))) & mask;
    const next = () => {
      const result = times(rotate(times(state[1], 5n), 7n), 9n);
      const t = (state[1] << 9n) & mask;
      state[2] ^= state[0];
      state[3] ^= state[1];
      state[1] ^= state[2];
      state[0] ^= state[3];
      state[2] ^= t;
      state[3] = rotate(state[3], 11n);
      return Number(result);
    };
    const random = new Random(12345);
    for (let i = 0; i < 100; i++) expect(random.bits()).toBe(next());
  });

  it('repeats for a seed and differs between seeds', () => {
    const draw = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 8 }, () => random.uniform());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(draw(-1)).not.toEqual(draw(1));
  });

  it('has the moments of its distributions', () => {
    const random = new Random(3);
    const count = 40_000;
    const uniform = Array.from({ length: count }, () => random.uniform());
    const normal = Array.from({ length: count }, () => random.normal());
    const moment = (xs: number[], power: number) => xs.reduce((sum, x) => sum + x ** power, 0) / xs.length;
    expect(uniform.every((x) => x >= 0 && x < 1)).toBe(true);
    expect(Math.abs(moment(uniform, 1) - 1 / 2)).toBeLessThan(0.01);
    expect(Math.abs(moment(uniform, 2) - 1 / 3)).toBeLessThan(0.01);
    expect(Math.abs(moment(normal, 1))).toBeLessThan(0.02);
    expect(Math.abs(moment(normal, 2) - 1)).toBeLessThan(0.03);
    expect(Math.abs(moment(normal, 4) - 3)).toBeLessThan(0.2);
  });

  it('draws below n evenly, and shuffles without loss', () => {
    const random = new Random(5);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 12_000; i++) counts[random.below(6)]++;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200);
    const list = Array.from({ length: 100 }, (_, i) => i);
    const shuffled = random.shuffle(list);
    expect(shuffled).not.toEqual(list);
    expect([...shuffled].sort((a, b) => a - b)).toEqual(list);
    expect(() => random.below(0)).toThrow(RangeError);
    expect(() => new Random(0.5)).toThrow(RangeError);
  });
});

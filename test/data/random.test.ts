import { describe, expect, it } from 'vitest';
import { Random } from '../../src/data/random.ts';

describe('Random', () => {
  it('gives the numbers of xoshiro128** for a known state', () => {
    const random = new Random(0);
    // State {1, 2, 3, 4} and its first outputs are the published test vector of the generator.
    Object.assign(random, { state: new Uint32Array([1, 2, 3, 4]) });
    expect([random.bits(), random.bits(), random.bits(), random.bits()]).toEqual([11520, 0, 5927040, 70819200]);
  });

  it('fills its state by SplitMix64, whose first output for seed 0 is e220a8397b1dcdaf', () => {
    const state = (new Random(0) as unknown as { state: Uint32Array }).state;
    expect([...state].slice(0, 2)).toEqual([0x7b1dcdaf, 0xe220a839]);
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

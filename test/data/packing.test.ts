import { describe, expect, it } from 'vitest';
import { packRows } from '../../src/data/packing.ts';
import { Random } from '../../src/data/random.ts';
import type { Sample } from '../../src/data/tokenize.ts';

/** A sample whose ids all are its number, so that it can be recognised. */
const sample = (length: number, number: number): Sample => ({
  input_ids: new Int32Array(length).fill(number),
  labels: new Int32Array(length).fill(number),
});
const total = (row: Sample[]) => row.reduce((sum, { input_ids }) => sum + input_ids.length, 0);
const numbers = (samples: Sample[]) => samples.map(({ input_ids }) => input_ids[0]);
const ascending = (list: number[]) => [...list].sort((a, b) => a - b);

describe('packRows', () => {
  it.each([1, 7, 64, 100])('keeps every sample whole, once, within windows of %d', (max_seq_length) => {
    const random = new Random(max_seq_length);
    const samples = Array.from({ length: 300 }, (_, i) => sample(1 + random.below(max_seq_length), i));
    const rows = packRows(samples, { max_seq_length, packing: true, seed: 1 });
    expect(Math.max(...rows.map(total))).toBeLessThanOrEqual(max_seq_length);
    const flat = rows.flat();
    expect(ascending(numbers(flat))).toEqual(samples.map((_, i) => i));
    for (const packed of flat) expect(packed).toBe(samples[packed.input_ids[0]]);
  });

  it('takes the tightest row', () => {
    // By decreasing length: 7, 6 open a row each (room 3 and 4); 4 fills the second; 3 the first; 2 and 1 a third.
    const rows = packRows([2, 3, 7, 1, 6, 4].map(sample), { max_seq_length: 10, packing: true, seed: 0 });
    expect(rows.map((row) => row.map(({ input_ids }) => input_ids.length))).toEqual([
      [7, 3],
      [6, 4],
      [2, 1],
    ]);
  });

  it('agrees with a plain search for the tightest row', () => {
    const random = new Random(9);
    const samples = Array.from({ length: 200 }, (_, i) => sample(1 + random.below(37), i));
    const room: number[] = [];
    for (const length of samples.map(({ input_ids }) => input_ids.length).sort((a, b) => b - a)) {
      const fitting = room.filter((left) => left >= length);
      if (fitting.length === 0) room.push(37 - length);
      else room[room.indexOf(Math.min(...fitting))] -= length;
    }
    const rows = packRows(samples, { max_seq_length: 37, packing: true, seed: 4 });
    expect(ascending(rows.map((row) => 37 - total(row)))).toEqual(ascending(room));
  });

  it('depends on the seed alone', () => {
    const samples = Array.from({ length: 50 }, (_, i) => sample(1 + (i % 5), i));
    const pack = (seed: number) => packRows(samples, { max_seq_length: 12, packing: true, seed }).map(numbers);
    expect(pack(1)).toEqual(pack(1));
    expect(pack(1)).not.toEqual(pack(2));
  });

  it('gives a row a sample without packing, and refuses what does not fit', () => {
    const samples = [sample(1, 0), sample(2, 1)];
    expect(packRows(samples, { max_seq_length: 9, packing: false, seed: 0 })).toEqual([[samples[0]], [samples[1]]]);
    for (const packing of [true, false]) {
      expect(() => packRows(samples, { max_seq_length: 1, packing, seed: 0 })).toThrow(/sample 1: got 2 tokens/);
      expect(() => packRows([sample(0, 0)], { max_seq_length: 1, packing, seed: 0 })).toThrow(/got 0 tokens/);
    }
  });
});

import { complain } from '../errors.ts';
import { Random } from './random.ts';
import type { Sample } from './tokenize.ts';

/** Documents that share one window of the model; attention must not cross from one to the next. */
export type Row = Sample[];

/**
 * Lays samples into rows of at most `max_seq_length` tokens; a sample is never split. With packing, the longest samples
 * go first, each into the fullest row that still has room (best fit decreasing: at most 11/9 of the fewest rows possible,
 * Johnson et al. 1974); samples of the same length go in a shuffled order. Without packing each sample is a row, in the order
 * given. The same samples and seed give the same rows.
 * @throws UserError for a sample that is empty or longer than `max_seq_length`
 */
export function packRows(
  samples: readonly Sample[],
  { max_seq_length, packing, seed }: { max_seq_length: number; packing: boolean; seed: number },
): Row[] {
  samples.forEach(({ input_ids }, i) => {
    if (input_ids.length >= 1 && input_ids.length <= max_seq_length) return;
    throw complain({
      where: `packing, sample ${i}`,
      got: `${input_ids.length} tokens`,
      expected: `1 to max_seq_length = ${max_seq_length}`,
      remedy: "raise max_seq_length, or set on_overflow to 'truncate' or 'skip'",
    });
  });
  if (!packing) return samples.map((sample) => [sample]);
  const rows: Row[] = [];
  const open = new RowsByRoom(max_seq_length);
  const longestFirst = new Random(seed).shuffle(samples).sort((a, b) => b.input_ids.length - a.input_ids.length);
  for (const sample of longestFirst) {
    const { length } = sample.input_ids;
    const fit = open.takeTightest(length) ?? { row: rows.push([]) - 1, room: max_seq_length };
    rows[fit.row].push(sample);
    open.put(fit.row, fit.room - length);
  }
  return rows;
}

/** Rows ordered by the room they have left; a tree of counts finds the tightest fit in logarithmic time. */
class RowsByRoom {
  private readonly leaves: number;
  private readonly counts: Uint32Array;
  private readonly rows: number[][];

  constructor(maxRoom: number) {
    this.leaves = 2 ** Math.ceil(Math.log2(maxRoom + 1));
    this.counts = new Uint32Array(2 * this.leaves);
    this.rows = Array.from({ length: maxRoom + 1 }, () => []);
  }

  put(row: number, room: number): void {
    this.rows[room].push(row);
    this.count(room, 1);
  }

  /** Removes and returns the row with the least room that is at least `room`, or null. */
  takeTightest(room: number): { row: number; room: number } | null {
    let node = this.leaves + room;
    if (this.counts[node] === 0) {
      // Up until a right sibling holds rows, then down along its left edge.
      while (node > 1 && (node % 2 === 1 || this.counts[node + 1] === 0)) node >>= 1;
      if (node <= 1) return null;
      node++;
      while (node < this.leaves) node = this.counts[2 * node] > 0 ? 2 * node : 2 * node + 1;
    }
    const found = node - this.leaves;
    this.count(found, -1);
    return { row: this.rows[found].pop()!, room: found };
  }

  private count(room: number, change: number): void {
    for (let node = this.leaves + room; node >= 1; node >>= 1) this.counts[node] += change;
  }
}

import { complain } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Queries or keys that kernels/attention.wgsl handles together; its ROWS. */
export const RANGE_BLOCK = 32;

/**
 * Which keys each query attends to: for query i the keys starts[i] … ends[i] − 1, none if ends[i] ≤ starts[i].
 *
 * Tokens are flat: documents lie end to end without padding, and these ranges are all that keeps them apart. Host and
 * device know them; they are an attribute of {@link attention}. The table on the device belongs to the scope in which
 * it was made and must outlive the tape that uses it.
 */
export class AttentionRanges {
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** Number of keys that the ranges index into. */
  readonly keyCount: number;
  /** What kernels read: u32 ranges of queries, of blocks of queries and of blocks of keys; see attention_layout.wgsl. */
  readonly table: Tensor;

  private constructor(device: Device, starts: Int32Array, ends: Int32Array, keyCount: number) {
    this.starts = starts;
    this.ends = ends;
    this.keyCount = keyCount;
    const table = tableOf(starts, ends, keyCount);
    this.table = Tensor.from(device, table, [table.length], 'u32');
  }

  /**
   * Causal attention inside documents that are laid end to end: a token sees itself and what precedes it in its document.
   *
   * @param lengths tokens of each document; or of each document of each row, for several packed rows
   * @throws UserError for a length that is no whole number ≥ 0
   */
  static packed(device: Device, lengths: readonly number[] | readonly (readonly number[])[]): AttentionRanges {
    const documents = lengths.flat() as number[];
    for (const [i, length] of documents.entries())
      if (!Number.isInteger(length) || length < 0)
        throw complain({
          where: 'AttentionRanges.packed',
          got: `length ${length} for document ${i}`,
          expected: 'a whole number of tokens, 0 or more',
          remedy: 'pass the number of tokens of each document',
        });
    const count = documents.reduce((sum, length) => sum + length, 0);
    const starts = new Int32Array(count);
    let start = 0;
    for (const length of documents) {
      starts.fill(start, start, start + length);
      start += length;
    }
    return new AttentionRanges(
      device,
      starts,
      starts.map((_, i) => i + 1),
      count,
    );
  }

  /**
   * Any range of keys for each query: for generation, where new queries stand at the end of longer cached sequences.
   *
   * @param starts first key of each query
   * @param ends one past the last key of each query; at or below its start for none
   * @param keyCount number of keys
   * @throws UserError for lists of different lengths and for ranges outside the keys
   */
  static explicit(
    device: Device,
    starts: ArrayLike<number>,
    ends: ArrayLike<number>,
    keyCount: number,
  ): AttentionRanges {
    const where = 'AttentionRanges.explicit';
    if (starts.length !== ends.length)
      throw complain({
        where,
        got: `${starts.length} starts and ${ends.length} ends`,
        expected: 'one start and one end for each query',
        remedy: 'pass lists of equal length',
      });
    if (!Number.isInteger(keyCount) || keyCount < 0)
      throw complain({
        where,
        got: `${keyCount} keys`,
        expected: 'a whole number, 0 or more',
        remedy: 'pass the first size of k',
      });
    for (let i = 0; i < starts.length; i++) {
      const inside = (x: number) => Number.isInteger(x) && x >= 0 && x <= keyCount;
      if (!inside(starts[i]) || !inside(ends[i]))
        throw complain({
          where,
          got: `range ${starts[i]}…${ends[i]} for query ${i}`,
          expected: `whole numbers between 0 and the ${keyCount} keys`,
          remedy: 'pass ranges inside the keys',
        });
    }
    return new AttentionRanges(device, Int32Array.from(starts), Int32Array.from(ends), keyCount);
  }

  /** Number of queries. */
  get length(): number {
    return this.starts.length;
  }
}

function tableOf(starts: Int32Array, ends: Int32Array, keyCount: number): Uint32Array {
  const queries = starts.length;
  const queryBlocks = Math.ceil(queries / RANGE_BLOCK);
  const keyBlocks = Math.ceil(keyCount / RANGE_BLOCK);
  const table = new Uint32Array(2 * queries + 4 * queryBlocks + 2 * keyBlocks);
  const blocks = table.subarray(2 * queries, 2 * queries + 4 * queryBlocks);
  const seers = table.subarray(2 * queries + 4 * queryBlocks);
  for (let b = 0; b < queryBlocks; b++) blocks.set([0xffffffff, 0, 0, 0xffffffff], 4 * b);
  for (let b = 0; b < keyBlocks; b++) seers.set([0xffffffff, 0], 2 * b);
  for (let i = 0; i < queries; i++) {
    const [start, end] = [starts[i], ends[i]];
    table[2 * i] = start;
    table[2 * i + 1] = end;
    const at = 4 * Math.floor(i / RANGE_BLOCK);
    blocks[at + 2] = Math.max(blocks[at + 2], start);
    blocks[at + 3] = Math.min(blocks[at + 3], end);
    if (end <= start) continue;
    blocks[at] = Math.min(blocks[at], start);
    blocks[at + 1] = Math.max(blocks[at + 1], end);
    const lastBlock = Math.floor((end - 1) / RANGE_BLOCK);
    for (let b = Math.floor(start / RANGE_BLOCK); b <= lastBlock; b++) {
      seers[2 * b] = Math.min(seers[2 * b], i);
      seers[2 * b + 1] = i + 1;
    }
  }
  return table;
}

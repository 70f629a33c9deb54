/** Values that a search handles at once: a superblock, or up to eight blocks of 32. */
export const SPAN = 256;

/**
 * A search for the scales of groups of values, with its results.
 *
 * There are two: plain/, the algorithm in the open, and simd/, the same sums four groups at a time. Their
 * bytes are equal, and equal to ggml's.
 */
export interface GroupSearch {
  /** For weights from importance: variance of the values around each group, filled in by the caller. */
  readonly variances: Float32Array;
  /** Results for each group; a caller may put other scales and minimums there before {@link choose}. */
  readonly scales: Float32Array;
  readonly mins: Float32Array;
  /** Sum of the weights of each group's errors. */
  readonly sums: Float32Array;
  /** Codes of the span's values, never negative. */
  readonly codes: Uint8Array;
  /**
   * Finds scales, minimums and codes for the groups that begin at values[at].
   *
   * @param importance one weight a column, of which the first value has number `column`; null if not needed
   */
  find(values: Float32Array, at: number, groups: number, importance: Float32Array | null, column: number): void;
  /** Chooses codes of the values last searched for `scales` and `mins`; zero scales keep the codes of the search. */
  choose(): void;
}

/** How the errors of a group's values weigh. */
export type Weights =
  /** |x| plus the root mean square of the group. */
  | 'magnitude + rms'
  | 'magnitude'
  | 'square'
  /** importance · √(variance + x²) */
  | 'importance and square'
  | 'importance';

interface Groups {
  /** Values of a group. */
  size: 16 | 32;
  weights: Weights;
}

/** x ≈ scale · code − min, min ≥ 0, codes 0..levels; trial i divides the range into `levels + first + i·step` parts. */
export interface AffineOptions extends Groups {
  levels: 3 | 15 | 31;
  first: number;
  step: number;
  /** Of the last trial, from 0. */
  trials: number;
  /** Minimises absolute errors in place of squared ones. */
  absolute?: boolean;
}

/** x ≈ scale · (code − half), codes 0..2·half − 1; the largest magnitude gets code 0. */
export interface SymmetricOptions extends Groups {
  half: 4 | 8 | 16 | 32;
}

/** The searches that block formats are built from. */
export interface Searches {
  affine(options: AffineOptions): GroupSearch;
  symmetric(options: SymmetricOptions): GroupSearch;
  /** A symmetric search over groups of 16 with half = 4 by coordinate descent, weights 'square'. */
  descent(): GroupSearch;
  /** The values of IQ4 codes (iq4-values.ts) in groups of 32; a zero scale chooses the code of zero. */
  iq4(weights: 'square' | 'importance and square'): GroupSearch;
}

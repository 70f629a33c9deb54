import { type GroupSearch, type Searches, SPAN, type Weights } from '../group-search.ts';
import { chooseAffine, findAffine } from './affine.ts';
import { findByDescent } from './descent.ts';
import { chooseIq4, findIq4 } from './iq4.ts';
import { chooseSymmetric, findSymmetric } from './symmetric.ts';
import { weigh } from './weights.ts';

const NONE = new Float32Array(0);

/** Works on one group: its first value, its weights, where its results go, its number. */
type Find = (x: Float32Array, at: number, weights: Float32Array, results: GroupSearch, group: number) => void;
type Choose = (x: Float32Array, at: number, results: GroupSearch, group: number) => void;

/** One group after another. */
class PlainSearch implements GroupSearch {
  readonly variances = new Float32Array(16);
  readonly scales = new Float32Array(16);
  readonly mins = new Float32Array(16);
  readonly sums = new Float32Array(16);
  readonly codes = new Uint8Array(SPAN);
  readonly #size: number;
  readonly #kind: Weights;
  readonly #find: Find;
  readonly #choose: Choose;
  readonly #weights: Float32Array;
  #last: { values: Float32Array; at: number; groups: number } = { values: NONE, at: 0, groups: 0 };

  constructor(size: number, kind: Weights, find: Find, choose: Choose) {
    this.#size = size;
    this.#kind = kind;
    this.#find = find;
    this.#choose = choose;
    this.#weights = new Float32Array(size);
  }

  find(values: Float32Array, at: number, groups: number, importance: Float32Array | null, column: number): void {
    const weights = this.#weights;
    for (let j = 0; j < groups; j++) {
      const start = at + this.#size * j;
      weigh(this.#kind, values, start, importance ?? NONE, column + this.#size * j, this.variances[j], weights);
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum = Math.fround(sum + weights[i]);
      this.sums[j] = sum;
      this.#find(values, start, weights, this, j);
    }
    this.#last = { values, at, groups };
  }

  choose(): void {
    const { values, at, groups } = this.#last;
    for (let j = 0; j < groups; j++) this.#choose(values, at + this.#size * j, this, j);
  }
}

/** ggml's searches spelled out: what the vectors of ../simd are held against, and what runs where there are none. */
export const plainSearches: Searches = {
  affine: (options) =>
    new PlainSearch(
      options.size,
      options.weights,
      (x, at, weights, results, j) => findAffine(options, x, at, weights, results, j),
      (x, at, results, j) => chooseAffine(options, x, at, results, j),
    ),
  symmetric: ({ size, half, weights: kind }) =>
    new PlainSearch(
      size,
      kind,
      (x, at, weights, { scales, codes }, j) => {
        scales[j] = findSymmetric(half, x, at, size, weights, codes, size * j);
      },
      (x, at, results, j) => chooseSymmetric(half, x, at, size, results, j),
    ),
  descent: () =>
    new PlainSearch(
      16,
      'square',
      (x, at, weights, { scales, codes }, j) => {
        scales[j] = findByDescent(4, x, at, 16, weights, codes, 16 * j);
      },
      (x, at, results, j) => chooseSymmetric(4, x, at, 16, results, j),
    ),
  iq4: (kind) =>
    new PlainSearch(
      32,
      kind,
      (x, at, weights, { scales }, j) => {
        scales[j] = findIq4(x, at, weights);
      },
      chooseIq4,
    ),
};

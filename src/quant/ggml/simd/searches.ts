import { type GroupSearch, type Searches, SPAN } from '../group-search.ts';
import { chooseAffine, findAffine } from './affine.ts';
import type { Code } from './assembler.ts';
import { findByDescent } from './descent.ts';
import { chooseIq4, findIq4 } from './iq4.ts';
import { assemble, compile } from './kernels.ts';
import { CODES, IMPORTANCE, MINS, memory, SCALES, SUMS, VALUES, VARIANCES } from './memory.ts';
import { chooseSymmetric, findSymmetric } from './symmetric.ts';

const floatsAt = (address: number, count: number) => new Float32Array(memory.buffer, address, count);

/** Results lie in the kernels' memory, which all searches of a thread share: they hold until the next search. */
class SimdSearch implements GroupSearch {
  readonly variances = floatsAt(VARIANCES, 16);
  readonly scales = floatsAt(SCALES, 16);
  readonly mins = floatsAt(MINS, 16);
  readonly sums = floatsAt(SUMS, 16);
  readonly codes = new Uint8Array(memory.buffer, CODES, SPAN);
  readonly #values = floatsAt(VALUES, SPAN);
  readonly #importance = floatsAt(IMPORTANCE, SPAN);
  readonly #size: number;
  readonly #build: { find: (code: Code) => void; choose: (code: Code) => void };
  #kernels: Record<'find' | 'choose', () => void> | undefined;

  constructor(size: number, find: (code: Code) => void, choose: (code: Code) => void) {
    this.#size = size;
    this.#build = { find, choose };
  }

  find(values: Float32Array, at: number, groups: number, importance: Float32Array | null, column: number): void {
    const count = groups * this.#size;
    this.#values.set(values.subarray(at, at + count));
    if (importance) this.#importance.set(importance.subarray(column, column + count));
    this.#kernels ??= compile({
      find: { parameters: 0, build: this.#build.find },
      choose: { parameters: 0, build: this.#build.choose },
    });
    this.#kernels.find();
  }

  choose(): void {
    this.#kernels?.choose();
  }
}

/** The searches of ../plain with four groups in every vector; a format's kernels are made when it is first used. */
export const simdSearches: Searches = {
  affine: (options) =>
    new SimdSearch(
      options.size,
      (code) => findAffine(code, options),
      (code) => chooseAffine(code, options),
    ),
  symmetric: (options) =>
    new SimdSearch(
      options.size,
      (code) => findSymmetric(code, options),
      (code) => chooseSymmetric(code, options.size, options.half),
    ),
  descent: () => new SimdSearch(16, findByDescent, (code) => chooseSymmetric(code, 16, 4)),
  iq4: (weights) => new SimdSearch(32, (code) => findIq4(code, weights), chooseIq4),
};

/** Whether this engine knows 128-bit vectors. */
export function hasSimd(): boolean {
  return WebAssembly.validate(assemble({ choose: { parameters: 0, build: chooseIq4 } }));
}

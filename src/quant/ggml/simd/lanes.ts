import { ROUNDER } from '../float.ts';
import { SPAN } from '../group-search.ts';
import {
  type Code,
  type Floats,
  floats,
  type Int,
  type Ints,
  loadFloats,
  loadInts,
  loadSplat,
  select,
} from './assembler.ts';
import { CODES, VALUES, X } from './memory.ts';

/** The bits of ../float.ts's nearestInt, limited to low..high. */
export function nearest(x: Floats, low: number, high: number): Ints {
  return x.add(ROUNDER).asInts().and(0x7fffff).sub(0x400000).max(low).min(high);
}

/** One element of four groups. */
export class Element {
  readonly #code: Code;
  readonly #index: Int;
  readonly #offset: number;

  constructor(code: Code, index: Int, offset: number) {
    this.#code = code;
    this.#index = index;
    this.#offset = offset;
  }

  /** Reads it from an area of the memory, once. */
  load(area: number): Floats {
    return this.#code.let(loadFloats(this.#index, area + this.#offset));
  }

  store(value: Floats | Ints, area: number): void {
    this.#code.store(value, this.#index, area + this.#offset);
  }
}

/**
 * Groups side by side: four to a vector, one in each lane, so that each keeps ggml's order of summation.
 *
 * Several vectors go through every loop together, to have more than one sum in flight.
 */
export class Lanes {
  readonly code: Code;
  readonly size: number;
  readonly vectors: number;
  /** Bytes from the first group's numbers to those of the groups here. */
  readonly #groups: Int;

  private constructor(code: Code, size: number, vectors: number, groups: Int) {
    this.code = code;
    this.size = size;
    this.vectors = vectors;
    this.#groups = groups;
  }

  /** Emits a body for so many vectors as often as a span needs. */
  static forSpan(code: Code, size: number, vectors: number, body: (lanes: Lanes) => void): void {
    const step = 4 * vectors * 4;
    code.loop((SPAN / size) * 4, step, (groups) => body(new Lanes(code, size, vectors, groups)));
  }

  /** One thing for each vector. */
  map<T>(body: (v: number) => T): T[] {
    return Array.from({ length: this.vectors }, (_, v) => body(v));
  }

  zeros(): Floats[] {
    return this.map(() => this.code.let(floats(0)));
  }

  /** Emits a loop over the elements of groups. */
  each(body: (v: number, element: Element) => void, unroll = 2): void {
    const { code, size } = this;
    code.loop(size * 16, 16 * unroll, (index) => {
      for (let u = 0; u < unroll; u++)
        for (let v = 0; v < this.vectors; v++) body(v, new Element(code, index, v * size * 16 + 16 * u));
    });
  }

  /** Element 0 of groups. */
  first(v: number, area: number): Floats {
    return this.code.let(loadFloats(0, area + v * this.size * 16));
  }

  /** A number of each group. */
  load(v: number, area: number): Floats {
    return this.code.let(loadFloats(this.#groups, area + 16 * v));
  }

  store(v: number, area: number, value: Floats | Ints): void {
    this.code.store(value, this.#groups, area + 16 * v);
  }

  /** Brings values in order, from `area`, side by side into another. */
  gather(area: number, to: number): void {
    const { code, size } = this;
    const first = code.let(this.#groups.mul(size));
    for (let v = 0; v < this.vectors; v++)
      code.loop(size * 4, 16, (i) => {
        const from = code.let(first.add(i));
        const rows = [0, 1, 2, 3].map((r) => code.let(loadFloats(from, area + (4 * v + r) * size * 4)));
        const at = code.let(i.shl(2));
        for (const [k, column] of transpose(code, rows).entries()) code.store(column, at, to + v * size * 16 + 16 * k);
      });
  }

  /** The way back of {@link gather}. */
  scatter(area: number, to: number): void {
    const { code, size } = this;
    const first = code.let(this.#groups.mul(size));
    for (let v = 0; v < this.vectors; v++)
      code.loop(size * 4, 16, (i) => {
        const from = code.let(i.shl(2));
        const columns = [0, 1, 2, 3].map((k) => code.let(loadFloats(from, area + v * size * 16 + 16 * k)));
        const at = code.let(first.add(i));
        for (const [r, row] of transpose(code, columns).entries()) code.store(row, at, to + (4 * v + r) * size * 4);
      });
  }

  /** The element of largest magnitude with its sign, the first among equals, and the magnitude. */
  largest(): { value: Floats; magnitude: Floats }[] {
    const { code } = this;
    const largest = this.map(() => ({ value: code.let(floats(0)), magnitude: code.let(floats(0)) }));
    this.each((v, element) => {
      const x = element.load(X);
      const magnitude = code.let(x.abs());
      const larger = code.let(magnitude.above(largest[v].magnitude));
      code.set(largest[v].value, select(larger, x, largest[v].value));
      code.set(largest[v].magnitude, select(larger, magnitude, largest[v].magnitude));
    });
    return largest;
  }
}

/** Rows of four to columns. */
export function transpose(code: Code, [a, b, c, d]: Floats[]): Floats[] {
  const low = [0, 4, 1, 5];
  const high = [2, 6, 3, 7];
  const [ab, cd, AB, CD] = [a.shuffle(b, low), c.shuffle(d, low), a.shuffle(b, high), c.shuffle(d, high)].map((x) =>
    code.let(x),
  );
  const first = [0, 1, 4, 5];
  const second = [2, 3, 6, 7];
  return [ab.shuffle(cd, first), ab.shuffle(cd, second), AB.shuffle(CD, first), AB.shuffle(CD, second)];
}

/** A group's values in order. */
export interface Group {
  /** A number of the group in every lane. */
  number(area: number): Floats;
}

/**
 * Emits a loop over groups that writes a code for each value.
 *
 * @param prepare what codes follow from, once a group
 * @param choose codes of four values from it
 * @param keep bytes that are set where the codes already there stay
 */
export function writeCodes<T>(
  code: Code,
  size: number,
  prepare: (group: Group) => T,
  choose: (x: Floats, prepared: T) => Ints,
  keep?: (prepared: T) => Ints,
  area = VALUES,
): void {
  code.loop((SPAN / size) * 4, 4, (group) => {
    const prepared = prepare({ number: (numbers) => code.let(loadSplat(group, numbers)) });
    const from = code.let(group.mul(size));
    const to = code.let(group.mul(size / 4));
    for (let i = 0; i < size; i += 16) {
      const [a, b, c, d] = [0, 4, 8, 12].map((k) => choose(loadFloats(from, area + 4 * (i + k)), prepared));
      const codes = a.narrow(b).narrowBytes(c.narrow(d));
      const old = loadInts(to, CODES + i);
      code.store(keep ? select(keep(prepared), old, codes) : codes, to, CODES + i);
    }
  });
}

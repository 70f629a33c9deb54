import { ROUNDER } from '../float.ts';
import {
  type Code,
  type Floats,
  floats,
  type Int,
  type Ints,
  int,
  loadFloats,
  loadInt,
  loadSplat,
  select,
} from './assembler.ts';
import { inverseOrZero, toBf16, toF16 } from './halves.ts';
import { transpose } from './lanes.ts';
import { HALVES, INPUT, OUTPUT, STARTS, STEPS } from './memory.ts';

/**
 * Kernels of the formats without a search: numbers from INPUT become blocks at OUTPUT.
 *
 * They emit a body for `count` values; whatever lies behind them is converted too, up to a multiple of 128.
 */
export type DirectKernel = (code: Code, count: Int) => void;

/** Largest f32 below one half. */
const BELOW_HALF = 0.5 - 2 ** -25;
const LARGEST = 3.4028234663852886e38;

/** F16 of ../unquantised.ts. */
export const f16: DirectKernel = (code, count) => narrow(code, count, toF16);
/** BF16 of ../unquantised.ts. */
export const bf16: DirectKernel = (code, count) => narrow(code, count, toBf16);

function narrow(code: Code, count: Int, convert: (code: Code, x: Floats) => Ints): void {
  code.loop(count.shl(2), 64, (from) => {
    const to = code.let(from.shrUnsigned(1));
    const load = (offset: number) => convert(code, code.let(loadFloats(from, INPUT + offset)));
    for (const k of [0, 32]) code.store(load(k).narrowUnsigned(load(k + 16)), to, OUTPUT + k / 2);
  });
}

/** ../q8_0.ts. */
export const q8_0: DirectKernel = (code, count) =>
  fourBlocks(code, count, 34, {
    prepare(each) {
      const largest = code.let(floats(0));
      // As the plain code has it: a NaN is forgotten at the next number.
      each((x) => code.set(largest, x.abs().upper(largest)));
      const scale = code.let(largest.div(127));
      code.store(inverseOrZero(code, scale), STEPS);
      return [scale];
    },
    write(block) {
      const inverse = block.number(STEPS);
      const codes = block.codes((x) => {
        const exact = code.let(x.mul(inverse));
        // Halves go away from zero; with this summand nothing below one half reaches the next integer.
        const away = exact.asInts().and(-0x80000000).or(floats(BELOW_HALF).asInts()).asFloats();
        return lowByte(code, exact.add(away));
      });
      for (const [k, sixteen] of codes.entries()) block.store(sixteen, 2 + 16 * k);
    },
  });

/** Q4_0 and Q5_0 of ../q4_q5.ts. */
export function symmetric(bits: 4 | 5): DirectKernel {
  const half = bits === 4 ? 8 : 16;
  return (code, count) =>
    fourBlocks(code, count, 2 + 4 * bits, {
      prepare(each) {
        const largest = code.let(floats(0));
        const magnitude = code.let(floats(0));
        each((x) => {
          const larger = code.let(x.abs().above(magnitude));
          code.set(largest, select(larger, x, largest));
          code.set(magnitude, select(larger, x.abs(), magnitude));
        });
        const scale = code.let(largest.div(-half));
        code.store(inverseOrZero(code, scale), STEPS);
        return [scale];
      },
      write(block) {
        const inverse = block.number(STEPS);
        const codes = block.codes((x) => lowByte(code, x.mul(inverse).add(half + 0.5)).min(2 * half - 1));
        block.storeNibbles(codes, 2, bits);
      },
    });
}

/** Q4_1 and Q5_1 of ../q4_q5.ts. */
export function affine(bits: 4 | 5): DirectKernel {
  const levels = bits === 4 ? 15 : 31;
  return (code, count) =>
    fourBlocks(code, count, 4 + 4 * bits, {
      prepare(each) {
        const min = code.let(floats(LARGEST));
        const max = code.let(floats(-LARGEST));
        each((x) => {
          code.set(min, min.lower(x));
          code.set(max, max.upper(x));
        });
        const scale = code.let(max.sub(min).div(levels));
        code.store(inverseOrZero(code, scale), STEPS);
        code.store(min, STARTS);
        return [scale, min];
      },
      write(block) {
        const [inverse, min] = [block.number(STEPS), block.number(STARTS)];
        const codes = block.codes((x) => lowByte(code, x.sub(min).mul(inverse).add(0.5)).min(levels));
        block.storeNibbles(codes, 4, bits);
      },
    });
}

/** C's conversion to an integer, of which a byte is kept: an infinity or NaN gives 0. */
function lowByte(code: Code, x: Floats): Ints {
  const number = code.let(x);
  return number.trunc().add(ROUNDER).asInts().and(255).and(number.equal(number));
}

/** One block that is being written. */
class Block {
  readonly #code: Code;
  readonly #from: Int;
  readonly #to: Int;
  readonly #index: number;
  readonly #bytes: number;

  constructor(code: Code, from: Int, to: Int, index: number, bytes: number) {
    this.#code = code;
    this.#from = from;
    this.#to = to;
    this.#index = index;
    this.#bytes = bytes;
  }

  /** Its number of four, in every lane. */
  number(area: number): Floats {
    return this.#code.let(loadSplat(0, area + 4 * this.#index));
  }

  /** A byte for each value, in two vectors. */
  codes(choose: (x: Floats) => Ints): Ints[] {
    return [0, 1].map((half) => {
      const [a, b, c, d] = [0, 1, 2, 3].map((k) =>
        choose(loadFloats(this.#from, INPUT + 128 * this.#index + 64 * half + 16 * k)),
      );
      return this.#code.let(a.narrow(b).narrowBytes(c.narrow(d)));
    });
  }

  store(value: Ints, offset: number): void {
    this.#code.store(value, this.#to, OUTPUT + this.#bytes * this.#index + offset);
  }

  /** Writes f16 numbers in front, from four each of them in HALVES. */
  storeHalves(numbers: number): void {
    for (let k = 0; k < numbers; k++)
      this.#code.storeInt(
        loadInt(0, HALVES + 16 * k + 4 * this.#index),
        2,
        this.#to,
        OUTPUT + this.#bytes * this.#index + 2 * k,
      );
  }

  /** Fifth bits as one number, if any, then low halves: of both vectors in each byte. */
  storeNibbles([first, second]: Ints[], offset: number, bits: 4 | 5): void {
    if (bits === 5) {
      const high = first.shl(3).topBits().or(second.shl(3).topBits().shl(16));
      this.#code.storeInt(high, 4, this.#to, OUTPUT + this.#bytes * this.#index + offset);
    }
    const low = (codes: Ints) => (bits === 5 ? codes.and(0x0f0f0f0f) : codes);
    this.store(low(first).or(low(second).shl(4)), bits === 5 ? offset + 4 : offset);
  }
}

interface BlockKernel {
  /** Emits what four blocks, one a lane, follow from; returns the numbers that blocks begin with. */
  prepare(each: (body: (x: Floats) => void) => void): Floats[];
  /** Emits the rest of one block. */
  write(block: Block): void;
}

function fourBlocks(code: Code, count: Int, bytes: number, { prepare, write }: BlockKernel): void {
  const to = code.let(int(0));
  code.loop(count.shl(2), 512, (from) => {
    const numbers = prepare((body) => {
      for (let i = 0; i < 8; i++) {
        const rows = [0, 1, 2, 3].map((r) => code.let(loadFloats(from, INPUT + 128 * r + 16 * i)));
        for (const x of transpose(code, rows)) body(code.let(x));
      }
    });
    for (const [k, number] of numbers.entries()) code.store(toF16(code, number), HALVES + 16 * k);
    for (let r = 0; r < 4; r++) {
      const block = new Block(code, from, to, r, bytes);
      block.storeHalves(numbers.length);
      write(block);
    }
    code.set(to, to.add(4 * bytes));
  });
}

import { describe, expect, test } from 'vitest';
import {
  bytes,
  type Code,
  type Floats,
  floats,
  type Ints,
  int,
  ints,
  loadFloats,
  loadInt,
  loadInts,
  loadSplat,
  select,
} from '../../../src/quant/ggml/simd/assembler.ts';
import { compile } from '../../../src/quant/ggml/simd/kernels.ts';
import { memory } from '../../../src/quant/ggml/simd/memory.ts';

const numbers = new Float32Array(memory.buffer, 0, 64);
const integers = new Int32Array(memory.buffer, 0, 64);
const octets = new Uint8Array(memory.buffer, 0, 256);
const { fround } = Math;

/** Runs statements; operands lie at bytes 0 and 16, the result belongs at 32. */
function run(build: (code: Code) => void): void {
  compile({ run: { parameters: 0, build } }).run();
}

const SPECIAL = [0, -0, 1.5, -2.5, 1e-40, -3e38, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 7];

function eachPair(check: (a: number, b: number) => void): void {
  for (const a of SPECIAL) for (const b of SPECIAL) check(fround(a), fround(b));
}

describe('floats', () => {
  test.each<[string, (a: Floats, b: Floats) => Floats, (a: number, b: number) => number]>([
    ['add', (a, b) => a.add(b), (a, b) => a + b],
    ['sub', (a, b) => a.sub(b), (a, b) => a - b],
    ['mul', (a, b) => a.mul(b), (a, b) => a * b],
    ['div', (a, b) => a.div(b), (a, b) => a / b],
    ['sqrt', (a) => a.sqrt(), (a) => Math.sqrt(a)],
    ['abs', (a) => a.abs(), (a) => Math.abs(a)],
    ['neg', (a) => a.neg(), (a) => -a],
    ['trunc', (a) => a.trunc(), (a) => Math.trunc(a)],
    ['lower', (a, b) => a.lower(b), (a, b) => [a, b][Number(b < a)]],
    ['upper', (a, b) => a.upper(b), (a, b) => [a, b][Number(a < b)]],
    ['select', (a, b) => select(a.below(b), a, floats(5)), (a, b) => (a < b ? a : 5)],
  ])('%s', (_, emit, truth) => {
    const { go } = compile({
      go: {
        parameters: 0,
        build: (code) => code.store(emit(code.let(loadFloats(0)), code.let(loadSplat(16))), 32),
      },
    });
    eachPair((a, b) => {
      numbers.set([a, 0, a, 1, b]);
      go();
      expect(numbers[8]).toBe(fround(truth(a, b)));
      expect(numbers[10]).toBe(fround(truth(a, b)));
      expect(numbers[9]).toBe(fround(truth(0, b)));
    });
  });

  test.each<[string, (a: Floats, b: Floats) => Ints, (a: number, b: number) => boolean]>([
    ['equal', (a, b) => a.equal(b), (a, b) => a === b],
    ['unequal', (a, b) => a.unequal(b), (a, b) => a !== b],
    ['below', (a, b) => a.below(b), (a, b) => a < b],
    ['above', (a, b) => a.above(b), (a, b) => a > b],
  ])('%s', (_, emit, truth) => {
    const { go } = compile({
      go: { parameters: 0, build: (code) => code.store(emit(loadFloats(0), loadFloats(16)), 32) },
    });
    eachPair((a, b) => {
      numbers.set([a, a, a, a, b, 1, b, b]);
      go();
      expect(integers[8]).toBe(truth(a, b) ? -1 : 0);
      expect(integers[9]).toBe(truth(a, 1) ? -1 : 0);
    });
  });

  test('shuffle', () => {
    numbers.set([0, 1, 2, 3, 4, 5, 6, 7]);
    run((code) => code.store(loadFloats(0).shuffle(loadFloats(16), [7, 0, 5, 2]), 32));
    expect([...numbers.subarray(8, 12)]).toEqual([7, 0, 5, 2]);
  });
});

describe('integers', () => {
  test.each<[string, (a: Ints, b: Ints) => Ints, (a: number, b: number) => number]>([
    ['add', (a, b) => a.add(b), (a, b) => a + b],
    ['sub', (a, b) => a.sub(b), (a, b) => a - b],
    ['min', (a, b) => a.min(b), Math.min],
    ['max', (a, b) => a.max(b), Math.max],
    ['and', (a, b) => a.and(b), (a, b) => a & b],
    ['andNot', (a, b) => a.andNot(b), (a, b) => a & ~b],
    ['or', (a, b) => a.or(b), (a, b) => a | b],
    ['not', (a) => a.not(), (a) => ~a],
    ['equal', (a, b) => a.equal(b), (a, b) => (a === b ? -1 : 0)],
    ['above', (a, b) => a.above(b), (a, b) => (a > b ? -1 : 0)],
    ['shl', (a) => a.shl(24), (a) => a << 24],
    ['shr', (a) => a.shr(24), (a) => a >> 24],
    ['shrUnsigned', (a) => a.shrUnsigned(4), (a) => a >>> 4],
    ['constants', (a) => a.add(-129), (a) => a - 129],
  ])('%s', (_, emit, truth) => {
    const { go } = compile({ go: { parameters: 0, build: (code) => code.store(emit(loadInts(0), loadInts(16)), 32) } });
    for (const a of [0, 1, -1, 255, 2 ** 31 - 1, -(2 ** 31)])
      for (const b of [0, 3, -7, 1, -(2 ** 31)]) {
        integers.set([a, 0, 0, a, b, b, 0, b]);
        go();
        expect(integers[8]).toBe(truth(a, b) | 0);
        expect(integers[11]).toBe(truth(a, b) | 0);
      }
  });

  test('conversions', () => {
    numbers.set([1.9, -1.9, 3e9, Number.NaN]);
    run((code) => {
      code.store(loadFloats(0).toInts(), 32);
      code.store(loadFloats(0).toInts().toFloats(), 48);
    });
    expect([...integers.subarray(8, 12)]).toEqual([1, -1, 2 ** 31 - 1, 0]);
    expect([...numbers.subarray(12, 16)]).toEqual([1, -1, 2 ** 31, 0]);
  });

  test('narrowing saturates', () => {
    integers.set([1, -1, 300, 70000, 5, 6, 7, 8]);
    run((code) => {
      const pair = loadInts(0).narrow(loadInts(16));
      code.store(pair.narrowBytes(pair), 32);
      code.store(loadInts(0).narrowUnsigned(loadInts(16)), 48);
    });
    expect([...octets.subarray(32, 40)]).toEqual([1, 0, 255, 255, 5, 6, 7, 8]);
    expect([...new Uint16Array(memory.buffer, 48, 8)]).toEqual([1, 0, 300, 65535, 5, 6, 7, 8]);
  });

  test('bytes: top bits, swizzle', () => {
    octets.set([0, 15, 3, 16, 200]);
    run((code) => {
      const table = bytes([10, 11, 12, -13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
      code.store(table.swizzle(loadInts(0)), 32);
      code.storeInt(table.topBits(), 4, 48);
    });
    expect([...octets.subarray(32, 37)]).toEqual([10, 25, 256 - 13, 0, 0]);
    expect(integers[12]).toBe(8);
  });
});

describe('statements', () => {
  test('a loop runs once at least, and up to its end', () => {
    const { go } = compile({
      go: {
        parameters: 2,
        build: (code, end, to) => {
          const sum = code.let(int(0));
          code.loop(end, 3, (i) => code.set(sum, sum.add(i).add(1)));
          code.storeInt(sum, 4, to);
        },
      },
    });
    for (const [end, sum] of [
      [0, 1],
      [3, 1],
      [4, 5],
      [9, 12],
    ]) {
      go(end, 32);
      expect(integers[8]).toBe(sum);
    }
  });

  test('repeats while the condition holds', () => {
    run((code) => {
      const rounds = code.let(int(0));
      code.repeat(() => {
        code.set(rounds, rounds.add(1));
        return rounds.below(5).and(ints(4).any());
      });
      code.storeInt(rounds, 4, 32);
    });
    expect(integers[8]).toBe(5);
  });

  test('integers of every length', () => {
    const constants = [0, 63, 64, -64, -65, 127, 128, 8191, 8192, -8193, 2 ** 31 - 1, -(2 ** 31)];
    for (const constant of constants) {
      run((code) => code.storeInt(int(constant), 4, 32));
      expect(integers[8]).toBe(constant);
    }
  });

  test('two bytes, operations on addresses', () => {
    integers.set([0x12345678, 0, 0, 0, 0, 0, 0, 0, -1]);
    run((code) => {
      code.storeInt(loadInt(0), 2, 32);
      code.storeInt(int(6).mul(7).shl(2).or(int(1)).shrUnsigned(1), 4, 36);
    });
    expect(integers[8]).toBe(0xffff5678 | 0);
    expect(integers[9]).toBe(84);
  });

  test('only variables can be set', () => {
    expect(() => run((code) => code.set(int(1), int(2)))).toThrow(/let/);
  });
});

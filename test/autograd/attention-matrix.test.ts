import { describe, expect, test } from 'vitest';
import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import { attention, attentionOperation } from '../../src/autograd/ops/attention.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { type AttentionPath, attentionPath } from '../../src/tensor/kernel-paths.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { OPERATION_TOLERANCE } from '../support/operation-tolerances.ts';

// Attention on matrix units: the real kernels where there are such units, elsewhere the emulated ones.

const device = await testDevice();
const real = attentionPath(device.capabilities, 'f16', 128) === 'matrix';
const PATHS: AttentionPath[] = [real ? 'matrix' : 'emulated'];
/** Of the tests of one aspect: a software driver compiles the kernels of a head size for half a minute. */
const SIZE = 64;

/** Query heads, key heads, documents. */
type Case = [heads: number, kvHeads: number, lengths: number[]];
const CASES: Case[] = [
  [1, 1, [1, 2]],
  [2, 1, [17]],
  [4, 2, [7, 1, 0, 90]],
  [2, 2, [64, 64]],
  [3, 1, [33, 1, 32, 70, 65]],
];

/** A row of documents with one key head and two query heads; the upstream gradient has one value for each of the output. */
async function run(path: AttentionPath, lengths: readonly number[], [q, k, v, g]: Float64Array[]) {
  const count = lengths.reduce((a, b) => a + b);
  return device.scopeAsync(async () => {
    const tensors = [q, k, v].map((data, i) => {
      const tensor = Tensor.from(device, data, [count, i === 0 ? 2 : 1, SIZE], 'f16');
      tensor.requires_grad = true;
      return tensor;
    });
    const ranges = AttentionRanges.packed(device, lengths);
    const tape = new Tape();
    const y = withTape(tape, () => attention(tensors[0], tensors[1], tensors[2], { ranges, path }));
    const results = [await y.numbers()];
    tape.backward(y, Tensor.from(device, g, y.shape, 'f16'));
    for (const tensor of tensors) {
      results.push(await tensor.grad!.numbers());
      tensor.grad!.dispose();
    }
    return results;
  });
}

const NAMES = ['output', 'gradient of q', 'gradient of k', 'gradient of v'];
const HEADS = [2, 2, 1, 1];

/** q, k, v and the upstream gradient of one document. */
const documentOf = (length: number, seed: number) =>
  [2, 1, 1, 2].map((heads, i) => normals(length * heads * SIZE, seed + i));

/** Documents laid end to end. */
const laid = (documents: Float64Array[][]) =>
  [0, 1, 2, 3].map((i) => Float64Array.from(documents.flatMap((document) => [...document[i]])));

/** Values that must be the same to the bit; a list of all of them would drown the report. */
function expectSame(name: string, got: readonly number[], expected: readonly number[]): void {
  expect(got.length, name).toBe(expected.length);
  const at = got.findIndex((value, i) => !Object.is(value, expected[i]));
  if (at !== -1) throw new Error(`${name}[${at}]: ${got[at]} and ${expected[at]}`);
}

/** The part of the results that belongs to the tokens first … first + length − 1. */
const cut = (results: ArrayLike<number>[], first: number, length: number) =>
  results.map((values, i) => Array.from(values).slice(first * HEADS[i] * SIZE, (first + length) * HEADS[i] * SIZE));

describe.each(PATHS)('%s', (path) => {
  test.each([64, 128].flatMap((size) => CASES.map((one) => [size, ...one] as const)))(
    'size, heads, key heads, documents: %i, %i, %i, %j',
    async (size, heads, kvHeads, lengths) => {
      const count = lengths.reduce((a, b) => a + b);
      await device.scopeAsync(async () => {
        await checkOp(attentionOperation, {
          device,
          inputs: [heads, kvHeads, kvHeads].map((h) => ({ shape: [count, h, size], dtype: 'f16' as const })),
          attributes: { ranges: AttentionRanges.packed(device, lengths), scale: 1 / Math.sqrt(size), path },
          probes: 6,
        });
      });
    },
  );

  test('ranges of any kind: empty, overlapping, past the diagonal, more keys than queries', async () => {
    const starts = [0, 5, 40, 7, 3, 130, 12, 100];
    const ends = [141, 5, 2, 9, 40, 141, 12, 133];
    await device.scopeAsync(async () => {
      await checkOp(attentionOperation, {
        device,
        inputs: [8, 141, 141].map((rows, i) => ({ shape: [rows, i === 0 ? 4 : 2, SIZE], dtype: 'f16' as const })),
        attributes: { ranges: AttentionRanges.explicit(device, starts, ends, 141), scale: 0.1, path },
        probes: 8,
      });
    });
  });

  test.each([-0.1, 0])('a scale of %f', async (scale) => {
    await device.scopeAsync(async () => {
      await checkOp(attentionOperation, {
        device,
        inputs: [2, 1, 1].map((heads) => ({ shape: [70, heads, SIZE], dtype: 'f16' as const })),
        attributes: { ranges: AttentionRanges.packed(device, [37, 33]), scale, path },
        probes: 4,
      });
    });
  });

  test.each([1e9, -1e9])('a scale of %f, for tiny heads: rows see nothing of a tile that others see', async (scale) => {
    await device.scopeAsync(async () => {
      const heads = [2, 1, 1].map((count, i) => {
        const values = normals(70 * count * SIZE, i).map((x) => (i < 2 ? 1e-4 * x : x));
        return Tensor.from(device, values, [70, count, SIZE], 'f16');
      });
      const options = { ranges: AttentionRanges.packed(device, [37, 33]), scale, path };
      const rounded = await Promise.all(
        heads.map(async (x) => ({ shape: x.shape, data: Float64Array.from(await x.numbers()) })),
      );
      const expected = attentionOperation.reference(rounded, options);
      const y = attention(heads[0], heads[1], heads[2], options);
      compare('output', await y.numbers(), expected.data, OPERATION_TOLERANCE.f16);
    });
  });

  test('nothing but empty ranges: zeros', async () => {
    await device.scopeAsync(async () => {
      const [q, k] = [5, 40].map((rows) => Tensor.from(device, normals(rows * SIZE, rows), [rows, 1, SIZE], 'f16'));
      for (const x of [q, k]) x.requires_grad = true;
      const ranges = AttentionRanges.explicit(device, [0, 40, 9, 3, 3], [0, 40, 8, 3, 2], 40);
      const tape = new Tape();
      const y = withTape(tape, () => attention(q, k, k, { ranges, path }));
      tape.backward(y, Tensor.from(device, normals(y.size, 3), y.shape, 'f16'));
      for (const x of [y, q.grad!, k.grad!]) expect((await x.numbers()).every((value) => value === 0)).toBe(true);
      for (const x of [q, k]) x.grad!.dispose();
    });
  });

  test('what other documents hold leaves no trace, to the bit', async () => {
    const kept = documentOf(45, 1);
    const rowWith = (factor: number, seed: number) => {
      const neighbour = (length: number, s: number) => documentOf(length, s).map((x) => x.map((y) => factor * y));
      return run(path, [50, 45, 40], laid([neighbour(50, seed), kept, neighbour(40, seed + 5)]));
    };
    const expected = cut(await rowWith(1, 10), 50, 45);
    // A hundred times as large: scores in the ten thousands.
    for (const [factor, seed] of [
      [1, 20],
      [100, 30],
      [Number.NaN, 40],
      [Number.POSITIVE_INFINITY, 50],
    ]) {
      const got = cut(await rowWith(factor, seed), 50, 45);
      for (const [i, name] of NAMES.entries()) expectSame(`${name}, factor ${factor}`, got[i], expected[i]);
    }
  });

  test('a document gives the same wherever it lies, but for the order of additions', async () => {
    const kept = documentOf(45, 1);
    const alone = await run(path, [45], kept);
    for (const before of [3, 64, 71]) {
      const row = await run(path, [before, 45, 7], laid([documentOf(before, 10), kept, documentOf(7, 20)]));
      const got = cut(row, before, 45);
      for (const [i, name] of NAMES.entries()) compare(`${name}, ${before}`, got[i], alone[i], OPERATION_TOLERANCE.f16);
    }
  });

  test('a token that is not finite spoils what sees it and nothing else', async () => {
    const length = 100;
    const at = 40;
    const clean = documentOf(length, 7);
    const before = await run(path, [length], clean);
    for (const [input, name] of ['q', 'k', 'v', 'upstream gradient'].entries()) {
      const broken = clean.map((x, i) => {
        if (i !== input) return x;
        const copy = x.slice();
        copy[(at * [2, 1, 1, 2][i] + 1) * SIZE - 3] = i % 2 === 0 ? Number.NaN : Number.POSITIVE_INFINITY;
        return copy;
      });
      const after = await run(path, [length], broken);
      // Query `at` sees keys up to `at`; key `at` is seen from query `at` on.
      const unseen = {
        q: [
          [0, at],
          [0, at],
          [at + 1, length],
          [at + 1, length],
        ],
        k: [
          [0, at],
          [0, at],
          [0, 0],
          [0, 0],
        ],
        v: [
          [0, at],
          [0, at],
          [0, 0],
          [0, length],
        ],
        'upstream gradient': [
          [0, length],
          [0, at],
          [at + 1, length],
          [at + 1, length],
        ],
      }[name]!;
      for (const [i, [first, end]] of unseen.entries())
        expectSame(`${name}: ${NAMES[i]}`, cut(after, first, end - first)[i], cut(before, first, end - first)[i]);
      expect(
        after.some((values) => Array.from(values).some((value) => !Number.isFinite(value))),
        name,
      ).toBe(true);
    }
  });

  test('gradients of scores beyond the range of f16 show, as what WGSL leaves to the driver has to', async () => {
    const [q, k, v, g] = documentOf(70, 9);
    const inputs = [q, k, v.map((x) => 60 * x), g.map((x) => 3000 * x)];
    const got = await run(path, [70], inputs);
    const expected = await run('plain', [70], inputs);
    // NaN and infinity may stand anywhere, a number that is wrong nowhere.
    for (const i of [1, 2]) {
      const finite = Array.from(got[i], (value, at) => (Number.isFinite(value) ? value : expected[i][at]));
      compare(NAMES[i], finite, expected[i], OPERATION_TOLERANCE.f16);
      expect(Array.from(got[i]).every(Number.isFinite), NAMES[i]).toBe(false);
    }
  });

  test('scores that grow far beyond what exp can hold, in steps that raise the base of a row again and again', async () => {
    const [q, k, v, g] = documentOf(150, 5);
    const steep = q.map((x) => 2 * x);
    const rising = k.map((x, i) => x * Math.floor(i / SIZE) * 0.5);
    const [output, ...gradients] = await run(path, [150], [steep, rising, v, g]);
    const ranges = await device.scopeAsync(async () => AttentionRanges.packed(device, [150]));
    const rounded = async (data: Float64Array, heads: number) => ({
      shape: [150, heads, SIZE],
      data: Float64Array.from(
        await device.scopeAsync(() => Tensor.from(device, data, [150, heads, SIZE], 'f16').numbers()),
      ),
    });
    const expected = attentionOperation.reference(
      [await rounded(steep, 2), await rounded(rising, 1), await rounded(v, 1)],
      { ranges, scale: 1 / Math.sqrt(SIZE) },
    );
    compare('output', output, expected.data, OPERATION_TOLERANCE.f16);
    for (const values of gradients) expect(Array.from(values).every(Number.isFinite)).toBe(true);
  });
});

test('what the kernels are not written for is refused', async () => {
  await device.scopeAsync(async () => {
    const ranges = AttentionRanges.packed(device, [3]);
    const attend = (size: number, dtype: 'f16' | 'f32') => () => {
      const x = Tensor.zeros(device, [3, 1, size], dtype);
      return attention(x, x, x, { ranges, path: 'emulated' });
    };
    expect(attend(64, 'f32')).toThrow(/^attention: got path emulated for heads of 64 in f32/);
    expect(attend(96, 'f16')).toThrow(/^attention: got path emulated for heads of 96 in f16/);
  });
});

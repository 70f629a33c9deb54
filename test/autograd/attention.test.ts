import { describe, expect, test } from 'vitest';
import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import { attention, attentionOperation } from '../../src/autograd/ops/attention.ts';
import { withTape } from '../../src/autograd/recording.ts';
import type { Reference } from '../../src/autograd/reference.ts';
import { Tape } from '../../src/autograd/tape.ts';
import type { AttentionPath } from '../../src/tensor/kernel-paths.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, compare, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const device = await testDevice();
const { software } = device.capabilities;

/** Query heads, key heads, head size, documents. */
type Case = [heads: number, kvHeads: number, size: number, lengths: number[]];
const CASES: Case[] = [
  [1, 1, 1, [1]],
  [1, 1, 2, [2, 31, 1]],
  [4, 2, 16, [7, 1, 0, 5]],
  [3, 1, 6, [33, 1, 32]],
  [6, 2, 20, [1, 64, 3]],
  [5, 5, 33, [31, 2]],
  [4, 2, 64, [65]],
  [3, 1, 80, [17, 20]],
  [2, 1, 128, [34]],
  [1, 1, 250, [5, 3]],
];
/** The tiled kernels take a software driver long to compile: two layouts of threads will do there. */
const TILED: Case[] = software
  ? [
      [3, 1, 6, [33, 1, 32]],
      [2, 2, 36, [1, 40]],
    ]
  : CASES;
const runs = (dtype: 'f32' | 'f16'): [AttentionPath, Case][] => [
  ...CASES.map((one): [AttentionPath, Case] => ['plain', one]),
  ...(software && dtype === 'f16' ? TILED.slice(0, 1) : TILED).map((one): [AttentionPath, Case] => ['tiled', one]),
];

/**
 * Largest terms of the gradients of q, k and v where every query sees one key: (g·v − g·o) · scale · k, which is 0 because
 * o = v, the same with q, and g itself, which does not cancel.
 */
const singleKeyTerms = (share: number, scale: number) => (inputs: readonly Reference[], upstream: Float64Array) => {
  const [q, k, v] = inputs;
  const [tokens, heads, size] = q.shape;
  const most = [0, 0, 0];
  for (let row = 0; row < tokens * heads; row++) {
    const keyRow = Math.floor(row / heads) * (heads / share) + Math.floor((row % heads) / share);
    const own = { q: row * size, k: keyRow * size };
    let slope = 0;
    for (let d = 0; d < size; d++) slope += Math.abs(upstream[own.q + d] * v.data[own.k + d]);
    for (let d = 0; d < size; d++) {
      most[0] = Math.max(most[0], slope * scale * Math.abs(k.data[own.k + d]));
      most[1] = Math.max(most[1], slope * scale * Math.abs(q.data[own.q + d]));
    }
  }
  return most;
};

describe.each(['f32', 'f16'] as const)('%s', (dtype) => {
  test.each(runs(dtype))('%s, heads, key heads, size, documents: %j', async (path, [heads, kvHeads, size, lengths]) => {
    const count = lengths.reduce((a, b) => a + b);
    await device.scopeAsync(async () => {
      const ranges = AttentionRanges.packed(device, lengths);
      await checkOp(attentionOperation, {
        device,
        inputs: [
          { shape: [count, heads, size], dtype },
          { shape: [count, kvHeads, size], dtype },
          { shape: [count, kvHeads, size], dtype },
        ],
        attributes: { ranges, scale: 1 / Math.sqrt(size), path },
        probes: 6,
        terms: lengths.every((length) => length <= 1)
          ? singleKeyTerms(heads / kvHeads, 1 / Math.sqrt(size))
          : undefined,
      });
    });
  });

  test('without shader-f16', async () => {
    const plain = await limitedDevice({ without: ['f16'] });
    await plain.scopeAsync(async () => {
      const input = { shape: [9, 2, 6], dtype };
      await checkOp(attentionOperation, {
        device: plain,
        inputs: [input, input, input],
        attributes: { ranges: AttentionRanges.packed(plain, [4, 5]), scale: 0.4 },
        probes: 12,
      });
    });
    plain.close();
  });

  test('ranges of any kind: empty, overlapping, past the diagonal, more keys than queries', async () => {
    await device.scopeAsync(async () => {
      const starts = [0, 5, 40, 7, 3, 39, 12];
      const ends = [41, 5, 2, 9, 40, 41, 12];
      await checkOp(attentionOperation, {
        device,
        inputs: [
          { shape: [7, 4, 6], dtype },
          { shape: [41, 2, 6], dtype },
          { shape: [41, 2, 6], dtype },
        ],
        attributes: { ranges: AttentionRanges.explicit(device, starts, ends, 41), scale: 0.4 },
        probes: 12,
      });
    });
  });
});

/** Output and gradients of a row of documents; the upstream gradient is one per element of `upstream`. */
async function run(path: AttentionPath, lengths: readonly number[], [q, k, v, g]: Float64Array[], size = 6) {
  const count = lengths.reduce((a, b) => a + b);
  return device.scopeAsync(async () => {
    const tensors = [q, k, v].map((data, i) => {
      const tensor = Tensor.from(device, data, [count, i === 0 ? 2 : 1, size]);
      tensor.requires_grad = true;
      return tensor;
    });
    const ranges = AttentionRanges.packed(device, lengths);
    const tape = new Tape();
    const y = withTape(tape, () => attention(tensors[0], tensors[1], tensors[2], { ranges, path }));
    const output = await y.numbers();
    tape.backward(y, Tensor.from(device, g, y.shape));
    const gradients = [];
    for (const tensor of tensors) {
      gradients.push(await tensor.grad!.numbers());
      tensor.grad!.dispose();
    }
    return [output, ...gradients];
  });
}

/** q, k, v and the upstream gradient of one document. */
const documentOf = (length: number, seed: number) =>
  [2, 1, 1, 2].map((heads, i) => normals(length * heads * 6, seed + i));

/** Documents laid end to end. */
const laid = (documents: Float64Array[][]) =>
  [0, 1, 2, 3].map((i) => Float64Array.from(documents.flatMap((document) => [...document[i]])));

describe.each(['plain', 'tiled'] as const)('%s', (path) => {
  test('a document has the same bits wherever it lies in a row and whatever lies beside it', async () => {
    const kept = documentOf(45, 1);
    const alone = await run(path, [45], kept);
    for (const [before, after, seed] of [
      [1, 0, 10],
      [7, 3, 20],
      [16, 40, 30],
      [31, 1, 40],
      [33, 64, 50],
    ]) {
      // Neighbours a hundred times as large: scores in the ten thousands.
      const loud = (length: number, s: number) => documentOf(length, s).map((x) => x.map((value) => 100 * value));
      const row = await run(path, [before, 45, after], laid([loud(before, seed), kept, loud(after, seed + 5)]));
      for (const [i, heads] of [2, 2, 1, 1].entries())
        expect(row[i].slice(before * heads * 6, (before + 45) * heads * 6), `${before} before, result ${i}`).toEqual(
          alone[i],
        );
    }
  });

  test('a NaN stays in its document', async () => {
    const broken = documentOf(20, 7).map((x) => x.fill(Number.NaN, 12, 18));
    const kept = documentOf(30, 3);
    const alone = await run(path, [30], kept);
    const row = await run(path, [20, 30, 20], laid([broken, kept, broken]));
    for (const [i, heads] of [2, 2, 1, 1].entries()) {
      expect(row[i].slice(20 * heads * 6, 50 * heads * 6), `result ${i}`).toEqual(alone[i]);
      expect(row[i].slice(0, 20 * heads * 6).some(Number.isNaN), `result ${i}`).toBe(true);
    }
  });

  test('scores that grow and fall far beyond what exp can hold', async () => {
    const [q, k, v, g] = documentOf(40, 5);
    const rising = k.map((x, i) => x * (i % 80) * 20);
    const [output, ...gradients] = await run(path, [40], [q.map((x) => x * 30), rising, v, g]);
    const expected = attentionOperation.reference(
      [
        { shape: [40, 2, 6], data: q.map((x) => Math.fround(x * 30)) },
        { shape: [40, 1, 6], data: rising.map(Math.fround) },
        { shape: [40, 1, 6], data: v },
      ],
      { ranges: await device.scopeAsync(async () => AttentionRanges.packed(device, [40])), scale: 1 / Math.sqrt(6) },
    );
    // Scores of 10,000 have a unit in the last place of 1e-3: weights of near ties are off by as much.
    compare('output', output, expected.data, 5e-3);
    for (const values of gradients) expect(values.every(Number.isFinite)).toBe(true);
  });
});

test('both paths agree', async () => {
  const row = documentOf(70, 9);
  const [plain, tiled] = [await run('plain', [37, 33], row), await run('tiled', [37, 33], row)];
  for (const [i, values] of plain.entries()) compare(`result ${i}`, tiled[i], values, 2e-6);
});

test('what does not fit is named', async () => {
  await device.scopeAsync(async () => {
    const of = (...shape: number[]) => Tensor.zeros(device, shape);
    const ranges = AttentionRanges.packed(device, [3]);
    const attend = (q: Tensor, k: Tensor, v: Tensor) => () => attention(q, k, v, { ranges });
    expect(attend(of(3, 4, 2), of(3, 3, 2), of(3, 3, 2))).toThrow(/^attention: got 4 query heads and 3 key heads/);
    expect(attend(of(4, 1, 2), of(4, 1, 2), of(4, 1, 2))).toThrow(/^attention: got ranges of 3 queries over 3 keys/);
    expect(attend(of(3, 1, 257), of(3, 1, 257), of(3, 1, 257))).toThrow(/^attention: got heads of 257 elements/);
    expect(attend(of(3, 1, 2), of(3, 1, 2), of(3, 1, 4))).toThrow(/^attention: got v of shape/);
    expect(() => AttentionRanges.packed(device, [2, -1])).toThrow(/length -1 for document 1/);
    expect(() => AttentionRanges.explicit(device, [0], [4], 3)).toThrow(/range 0…4 for query 0/);
  });
});

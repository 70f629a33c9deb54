import { afterAll, describe, expect, test } from 'vitest';
import { apply } from '../../src/autograd/apply.ts';
import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import type { Operation } from '../../src/autograd/operation.ts';
import { attentionOperation } from '../../src/autograd/ops/attention.ts';
import { castOperation } from '../../src/autograd/ops/cast.ts';
import { linearCrossEntropyOperation } from '../../src/autograd/ops/cross-entropy.ts';
import { dropoutOperation } from '../../src/autograd/ops/dropout.ts';
import { binaryOperations, unaryOperations } from '../../src/autograd/ops/elementwise.ts';
import { embeddingOperation } from '../../src/autograd/ops/embedding.ts';
import { concatOperation, sliceOperation } from '../../src/autograd/ops/join.ts';
import { linearOperation } from '../../src/autograd/ops/linear.ts';
import { matmulOperation } from '../../src/autograd/ops/matmul.ts';
import { maxOperation, meanOperation, sumOperation } from '../../src/autograd/ops/reductions.ts';
import { permuteOperation, reshapeOperation } from '../../src/autograd/ops/reshape.ts';
import { rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { ropeOperation } from '../../src/autograd/ops/rope.ts';
import { swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { RopeTable } from '../../src/autograd/rope-table.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { type Shape, sizeOf } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const table = new RopeTable(device, Float64Array.of(1, 0.1, 0.01));
table.upTo(64);
afterAll(() => table.dispose());

interface Case {
  op: Operation<unknown>;
  shapes: Shape[];
  attributes: unknown;
}

const of = <A>(op: Operation<A>, shapes: Shape[], attributes: A): Case => ({
  op: op as Operation<unknown>,
  shapes,
  attributes,
});

/** Every operation, on `n` rows of something; made inside a scope, for attributes with tensors of their own. */
function cases(n: number): Case[] {
  const numbers = (count: number, below: number) =>
    Indices.from(
      device,
      Array.from({ length: count }, (_, i) => (i * 7) % below),
    );
  return [
    ...Object.values(unaryOperations).map((op) => of(op, [[n, 5]], 1.3)),
    ...Object.values(binaryOperations).flatMap((op) => [
      of(
        op,
        [
          [n, 5],
          [n, 5],
        ],
        undefined,
      ),
      of(op, [[n, 5], [5]], undefined),
    ]),
    of(
      linearOperation,
      [
        [n, 6],
        [4, 6],
        [n, 4],
      ],
      { scale: 0.5 },
    ),
    of(
      matmulOperation,
      [
        [2, n, 6],
        [2, 6, 3],
      ],
      {},
    ),
    of(rmsNormOperation, [[n, 6], [6]], { eps: 1e-5 }),
    of(ropeOperation, [[n, 2, 6]], { table, positions: numbers(n, 50) }),
    of(
      attentionOperation,
      [
        [n, 2, 6],
        [n, 1, 6],
        [n, 1, 6],
      ],
      { ranges: AttentionRanges.packed(device, [n]), scale: 0.4 },
    ),
    of(
      swigluOperation,
      [
        [n, 5],
        [n, 5],
      ],
      {},
    ),
    of(dropoutOperation, [[n, 5]], { p: 0.4, seed: 3 }),
    of(embeddingOperation, [[9, 6]], { ids: numbers(n, 9), dtype: 'f32' }),
    of(
      linearCrossEntropyOperation,
      [
        [n, 6],
        [9, 6],
      ],
      { labels: numbers(n, 9), normalizer: 3, ignore_index: -100 },
    ),
    of(sumOperation, [[n, 5]], { dim: 0 }),
    of(sumOperation, [[n, 5]], {}),
    of(meanOperation, [[n, 5]], { dim: 1 }),
    ...(n > 0 ? [of(maxOperation, [[n, 5]], { dim: 0 })] : []),
    of(castOperation, [[n, 5]], 'f16'),
    of(reshapeOperation, [[n, 6]], [2, n, 3]),
    of(permuteOperation, [[n, 2, 3]], [2, 0, 1]),
    of(sliceOperation, [[n, 5]], { dim: 1, start: 1, end: 4 }),
    of(
      concatOperation,
      [
        [n, 5],
        [3, 5],
        [n, 5],
      ],
      0,
    ),
  ];
}

type Placing = (values: Float64Array, shape: Shape, dtype: 'f32' | 'f16') => Tensor;

/** The same elements laid out in other ways. */
const PLACINGS: Record<string, Placing> = {
  'dimensions in the opposite order': (values, shape, dtype) => {
    const strides = shape.map((_, d) => sizeOf(shape.slice(0, d)));
    const turned = values.map((_, at) => {
      // Element `at` of the storage is the one whose reversed index is `at`.
      let index = 0;
      for (const [d, n] of shape.entries()) index = index * n + (Math.floor(at / strides[d]) % n);
      return values[index];
    });
    const base = Tensor.from(device, turned, [values.length], dtype);
    return new Tensor(device, base.storage, dtype, shape, { strides });
  },
  'a part of wider rows': (values, shape, dtype) => {
    const width = shape[shape.length - 1];
    const wide = new Float64Array((values.length / width) * (width + 3)).fill(Number.NaN);
    for (const [i, x] of values.entries()) wide[Math.floor(i / width) * (width + 3) + 1 + (i % width)] = x;
    return Tensor.from(device, wide, [...shape.slice(0, -1), width + 3], dtype).slice(shape.length - 1, 1, width + 1);
  },
  'beginning in the middle of a word': (values, shape, dtype) =>
    Tensor.from(device, [Number.NaN, ...values], [values.length + 1], dtype)
      .slice(0, 1, values.length + 1)
      .view(shape),
};

/** Output and gradients of an operation. */
async function run({ op, attributes }: Case, inputs: readonly Tensor[]): Promise<ArrayLike<number>[]> {
  const tape = new Tape();
  for (const tensor of inputs) tensor.requires_grad = true;
  const y = withTape(tape, () => apply(op, inputs, attributes));
  const results: ArrayLike<number>[] = [Array.of(...y.shape), await y.numbers()];
  tape.backward(y, Tensor.from(device, normals(y.size, 9), y.shape, y.dtype));
  for (const tensor of inputs) {
    expect(tensor.grad?.shape, op.name).toEqual(tensor.shape);
    results.push(await tensor.grad!.numbers());
    tensor.grad!.dispose();
    tensor.grad = null;
  }
  return results;
}

// Positive, so that log and sqrt have them all.
const valuesOf = (shape: Shape, seed: number) =>
  normals(sizeOf(shape), seed).map((x) => Math.fround(Math.abs(x) + 0.1));

describe.each(['f32', 'f16'] as const)('%s', (dtype) => {
  test.each(Object.entries(PLACINGS))('views give the same bits as dense tensors: %s', async (_, place) => {
    const before = device.memory.live;
    await device.scopeAsync(async () => {
      for (const one of cases(7)) {
        const values = one.shapes.map((shape, i) => valuesOf(shape, i + 1));
        const dense = await run(
          one,
          one.shapes.map((shape, i) => Tensor.from(device, values[i], shape, dtype)),
        );
        const views = await run(
          one,
          one.shapes.map((shape, i) => place(values[i], shape, dtype)),
        );
        expect(views, one.op.name).toEqual(dense);
        expect(dense.flatMap((result) => Array.from(result)).every(Number.isFinite), one.op.name).toBe(true);
      }
    });
    expect(device.memory.live).toBe(before);
  });

  test.each([0, 1])('%i rows', async (rows) => {
    const before = device.memory.live;
    await device.scopeAsync(async () => {
      for (const one of cases(rows)) {
        const inputs = one.shapes.map((shape, i) => Tensor.from(device, valuesOf(shape, i + 1), shape, dtype));
        const [shape, output] = await run(one, inputs);
        const references = one.shapes.map((of, i) => ({ shape: of, data: valuesOf(of, i + 1) }));
        const expected = one.op.reference(references, one.attributes);
        expect(shape, one.op.name).toEqual(Array.of(...expected.shape));
        compare(one.op.name, output, expected.data, dtype === 'f16' ? 4e-3 : 1e-3);
      }
    });
    expect(device.memory.live).toBe(before);
  });
});

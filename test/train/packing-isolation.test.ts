import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RANGE_BLOCK } from '../../src/autograd/attention-ranges.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { type Checkpointing, Tape } from '../../src/autograd/tape.ts';
import { Random } from '../../src/data/random.ts';
import { toFloat32 } from '../../src/formats/elements.ts';
import { batchOf, type Document, IGNORE_INDEX } from '../../src/models/batch.ts';
import { Llama, type Precision } from '../../src/models/llama.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { randomConfig, randomWeights } from '../support/random-llama.ts';

// A sample of a packed row gets the same outputs and gives the same gradients whatever its neighbours hold, to the bit.

const device = await testDevice();
const matrixUnits = usableMatrixShape(device.capabilities) !== undefined;
const CONFIG = randomConfig({ hidden: 64, wide: 96, layers: 2, heads: 4, groups: 2 });
const VOCABULARY = CONFIG.vocab_size;
/** Longer than a block of keys, and no multiple of it. */
const KEPT = sample(1, 41);
const ROW = [sample(2, 17), KEPT, sample(3, 30)];
/** Largest error over the largest value when sums over tokens are added in other groups: a rounding or two of f32. */
const REGROUPED = 2e-6;

function sample(seed: number, length: number): number[] {
  const random = new Random(seed);
  return Array.from({ length }, () => random.below(VOCABULARY));
}

/** A Llama whose weights all collect gradients. */
async function randomModel(precision: Precision): Promise<Llama> {
  const weights = new Map<string, Tensor>();
  for (const { name, shape, dtype, rows } of randomWeights(CONFIG)) {
    const values = toFloat32(await rows(0, shape.length === 2 ? shape[0] : 1), dtype, name);
    const tensor = device.persist(Tensor.from(device, values, shape));
    tensor.requires_grad = true;
    weights.set(name, tensor);
  }
  return new Llama(device, CONFIG, precision, (name) => weights.get(name) as Tensor);
}

/** A row of samples of which only one has targets, so that gradients are that sample's contribution. */
function rowOf(samples: readonly number[][], kept: number): Document[] {
  return samples.map((input_ids, i) => ({
    input_ids,
    labels: i === kept ? input_ids : input_ids.map(() => IGNORE_INDEX),
  }));
}

/** Bits of f32 values. */
const bitsOf = (values: ArrayLike<number>) => new Uint32Array(Float32Array.from(values).buffer);

function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): string | null {
  if (a.length !== b.length) return `${a.length} and ${b.length} values`;
  const [left, right] = [bitsOf(a), bitsOf(b)];
  const at = left.findIndex((bits, i) => bits !== right[i]);
  return at === -1 ? null : `place ${at}: ${a[at]} and ${b[at]}`;
}

/** Hidden states and logits of one sample of a row. */
async function outputs(model: Llama, samples: readonly number[][], kept: number) {
  const first = samples.slice(0, kept).flat().length;
  const cut = (values: ArrayLike<number>, width: number) =>
    Array.from(values).slice(first * width, (first + samples[kept].length) * width);
  let hidden: number[] = [];
  let logits: number[] = [];
  await device.scopeAsync(async () => {
    const batch = batchOf(device, rowOf(samples, kept));
    hidden = cut(await model.hidden(batch.ids, batch).numbers(), CONFIG.hidden_size);
    logits = cut(await model.logits(batch).numbers(), VOCABULARY);
  });
  return { hidden, logits };
}

/** Loss of one sample of a row, and the gradients that it alone contributes, by weight. */
async function contribution(model: Llama, samples: readonly number[][], kept: number, checkpointing: Checkpointing) {
  const result = new Map<string, ArrayLike<number>>();
  await device.scopeAsync(async () => {
    const batch = batchOf(device, rowOf(samples, kept));
    const tape = new Tape(checkpointing);
    const loss = withTape(tape, () => model.loss(batch, samples[kept].length - 1));
    // A loss scale as in training keeps small gradients above the least f16.
    tape.backward(loss, Tensor.from(device, [1024]));
    result.set('loss', await loss.data());
  });
  for (const [name, tensor] of model.weights()) {
    if (!tensor.grad) throw new Error(`${name} has no gradient`);
    // Rows of the embedding that only neighbours read hold a zero of either sign: adding 0 makes them one.
    result.set(
      name,
      Array.from(await tensor.grad.data(), (x) => x + 0),
    );
    tensor.grad.dispose();
    tensor.grad = null;
  }
  return result;
}

describe.each(['f32', 'mixed'] as const)('%s', (precision) => {
  let model: Llama;
  beforeAll(async () => {
    model = await randomModel(precision);
  });
  afterAll(() => model.dispose());

  test.each([
    ['other tokens', [sample(4, 17), KEPT, sample(5, 30)], 1],
    ['a longer neighbour behind', [sample(2, 17), KEPT, sample(3, 77)], 1],
    ['no neighbour behind', [sample(2, 17), KEPT], 1],
    ['neighbours of other lengths before', [sample(2, 1), sample(3, 16), KEPT, sample(3, 30)], 2],
    ['moved by whole blocks of keys', [sample(2, 17 + 2 * RANGE_BLOCK), KEPT, sample(3, 30)], 1],
    ['moved to the end', [sample(2, 30), sample(3, 19 + RANGE_BLOCK), KEPT], 2],
    ['behind a shorter neighbour', [sample(2, 3), KEPT, sample(3, 30)], 1],
    ['behind a longer neighbour', [sample(2, 70), KEPT, sample(3, 30)], 1],
    ['among samples of one token', [[7], [9], KEPT, [3]], 2],
    ['first in the row', [KEPT, sample(2, 17), sample(3, 30)], 0],
    ['last in the row', [sample(2, 17), sample(3, 30), KEPT], 2],
    ['alone', [KEPT], 0],
  ])('the same outputs to the bit: %s', async (_, samples, kept) => {
    const expected = await outputs(model, ROW, 1);
    expect(expected.logits.every(Number.isFinite)).toBe(true);
    const got = await outputs(model, samples, kept);
    expect(firstDifference(got.hidden, expected.hidden)).toBe(null);
    expect(firstDifference(got.logits, expected.logits)).toBe(null);
  });

  test.each(['none', 'selective', 'full'] as const)('gradients, checkpointing %s', async (checkpointing) => {
    const [before, , after] = ROW;
    const expected = await contribution(model, ROW, 1, checkpointing);
    for (const [name, values] of expected)
      expect(
        Array.from(values).some((x) => x !== 0),
        name,
      ).toBe(true);
    for (const [title, samples, kept] of [
      ['other tokens before', [sample(4, 17), KEPT, after], 1],
      ['other tokens behind', [before, KEPT, sample(5, 30)], 1],
      ['moved by three', [sample(4, 20), KEPT, after], 1],
      ['longer behind', [before, KEPT, sample(5, 77)], 1],
      ['first', [KEPT, before, after], 0],
      ['alone', [KEPT], 0],
    ] as const) {
      const got = await contribution(model, samples, kept, checkpointing);
      const moved = samples.slice(0, kept).flat().length !== before.length;
      for (const [name, values] of expected) {
        const own = got.get(name) ?? [];
        // The gradient of a norm's weight is added up by blocks of rows, of a matrix in the order that its units take:
        // where a sample lies in them decides how its terms are grouped, what the other samples hold does not.
        if (moved && (name.includes('norm') || matrixUnits)) compare(`${title}: ${name}`, own, values, REGROUPED);
        else expect(firstDifference(own, values), `${title}: ${name}`).toBe(null);
      }
    }
  });

  test('the check sees a change: one token of the sample itself', async () => {
    const other = [(KEPT[0] + 1) % VOCABULARY, ...KEPT.slice(1)];
    const expected = await outputs(model, [KEPT, KEPT], 0);
    const got = await outputs(model, [other, KEPT], 0);
    expect(firstDifference(got.logits, expected.logits)).not.toBe(null);
  });
});

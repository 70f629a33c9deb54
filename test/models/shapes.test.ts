import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { generate } from '../../src/generate/generate.ts';
import { attachAdapters, PREFIX, type Trainable } from '../../src/lora/attach.ts';
import { batchOf, countTargets, type Document } from '../../src/models/batch.ts';
import { KvCache } from '../../src/models/kv-cache.ts';
import type { Llama } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { BARS } from '../../src/reference/bars.ts';
import { maxErrorOverMax, relativeL2 } from '../../src/reference/compare.ts';
import { normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { randomWeights, shapesOf, writeLlama } from '../support/llama-directory.ts';
import { LlamaF64, type LoraF64, type Named } from '../support/llama-f64.ts';
import { randomDocuments, SHAPE_CASES } from '../support/shape-cases.ts';

const device = await testDevice();
const scratch = mkdtempSync(path.join(tmpdir(), 'dawntune-shapes-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Holds logits, loss and gradients of a model to those in double precision, by the bars of the reference sets. */
async function holdTo(
  model: Llama,
  truth: LlamaF64,
  documents: readonly Document[],
  trainables: readonly Trainable[],
): Promise<void> {
  const bars = BARS[model.precision];
  const expected = truth.run(documents as Required<Document>[]);
  await device.scopeAsync(async () => {
    const batch = batchOf(device, documents);
    const logits = await model.logits(batch).numbers();
    if (model.precision === 'f32')
      expect(maxErrorOverMax(logits, expected.logits), 'logits').toBeLessThan(BARS.f32.logits);
    else expect(relativeL2(logits, expected.logits), 'logits').toBeLessThan(BARS.mixed.gradient);
    const tape = new Tape();
    const loss = withTape(tape, () => model.loss(batch, countTargets(documents)));
    expect(Math.abs((await loss.item()) - expected.loss), 'loss').toBeLessThan(bars.loss);
    tape.backward(loss);
  });
  const errors: Record<string, number> = {};
  for (const { name, tensor } of trainables) {
    const want = expected.gradients.get(name.replace(PREFIX, ''));
    if (!want || !tensor.grad) throw new Error(`${name}: no gradient`);
    const got = await tensor.grad.numbers();
    const error = model.precision === 'f32' ? maxErrorOverMax(got, want) : relativeL2(got, want);
    // A handful of numbers may all be small differences of large rounded ones: these are held in f32 alone.
    const few = model.precision === 'mixed' && want.length < 16;
    if (!few && !(error <= bars.gradient)) errors[name] = error;
    tensor.grad.dispose();
    tensor.grad = null;
  }
  expect(errors).toEqual({});
}

const PEFT = parsePeftConfig(
  { peft_type: 'LORA', r: 3, lora_alpha: 5, use_rslora: true, target_modules: 'all-linear' },
  'shapes.test.ts',
);

/** A and B of rank 3 beside every matrix of the blocks; what they add is a quarter of what the matrix itself gives. */
function randomAdapters(shapes: ReadonlyMap<string, readonly number[]>): Map<string, LoraF64> {
  const adapters = new Map<string, LoraF64>();
  for (const [name, [out, width]] of shapes) {
    if (!name.includes('_proj')) continue;
    const seed = adapters.size;
    const A = normals(3 * width, 700 + seed).map((x) => Math.fround(x / Math.sqrt(width)));
    const B = normals(out * 3, 800 + seed).map((x) => Math.fround(0.05 * x));
    adapters.set(name.replace('.weight', ''), { r: 3, scaling: 5 / Math.sqrt(3), A, B });
  }
  return adapters;
}

/** As a PEFT file has them. */
function savedForm(adapters: ReadonlyMap<string, LoraF64>): Map<string, Float32Array> {
  return new Map(
    [...adapters].flatMap(([module, { A, B }]) => [
      [`${PREFIX}${module}.lora_A.weight`, Float32Array.from(A)],
      [`${PREFIX}${module}.lora_B.weight`, Float32Array.from(B)],
    ]),
  );
}

const weightsOf = (model: Llama): Trainable[] => [...model.weights()].map(([name, tensor]) => ({ name, tensor }));

describe.each(SHAPE_CASES)('$name', ({ name, config, lengths }) => {
  const dir = path.join(scratch, name);
  const weights = randomWeights(config, 1);
  const documents = randomDocuments(config.vocab_size, lengths, 2);

  test.each(['f32', 'mixed'] as const)('every weight, %s', async (precision) => {
    await writeLlama(dir, config, weights);
    const before = device.memory.live;
    const model = await loadLlama(device, dir, { precision, trainable: true });
    await holdTo(model, new LlamaF64(config, weights), documents, weightsOf(model));
    model.dispose();
    expect(device.memory.live).toBe(before);
  });

  test.each(['f32', 'mixed'] as const)('rank-stabilised LoRA on NF4, %s', async (precision) => {
    await writeLlama(dir, config, weights);
    const before = device.memory.live;
    const model = await loadLlama(device, dir, { precision, load_in_4bit: true });
    const adapters = randomAdapters(shapesOf(config));
    const trainables = attachAdapters(model, PEFT, { saved: savedForm(adapters) });
    // The values that quantisation left; test/quant/nf4.test.ts holds these against bitsandbytes' rules.
    const quantised: Named = new Map();
    for (const [weight, tensor] of model.weights())
      quantised.set(weight, Float64Array.from(await device.scopeAsync(async () => tensor.dense('f32').numbers())));
    await holdTo(model, new LlamaF64(config, quantised, adapters), documents, trainables);
    model.dispose();
    expect(device.memory.live).toBe(before);
  });

  test('greedy with the KV cache', async () => {
    await writeLlama(dir, config, weights);
    const model = await loadLlama(device, dir, { precision: 'f32' });
    const truth = new LlamaF64(config, weights);
    const prompts = documents.map(({ input_ids }) => Array.from(input_ids).slice(0, 40));
    const sequences = prompts.map((prompt) => [...prompt]);
    for await (const { sequence, token } of generate(model, prompts, { max_new_tokens: 5 })) {
      const logits = truth.logits([{ input_ids: sequences[sequence] }]).slice(-config.vocab_size);
      expect(token, `sequence ${sequence}`).toBe(logits.indexOf(Math.max(...logits)));
      sequences[sequence].push(token);
    }
    expect(sequences.map((ids, i) => ids.length - prompts[i].length)).toEqual(prompts.map(() => 5));
    model.dispose();
  });
});

test.each([SHAPE_CASES[1], SHAPE_CASES[2]])('the truth itself against central differences: $name', ({ config }) => {
  const weights = randomWeights(config, 3);
  const adapters = randomAdapters(shapesOf(config));
  const truth = new LlamaF64(config, weights, adapters);
  const documents = randomDocuments(config.vocab_size, [3, 1, 9], 4);
  const { gradients } = truth.run(documents);
  const tensors = new Map(weights);
  for (const [module, { A, B }] of adapters) {
    tensors.set(`${module}.lora_A.weight`, A);
    tensors.set(`${module}.lora_B.weight`, B);
  }
  for (const [i, [name, data]] of [...tensors].entries()) {
    const direction = normals(data.length, 50 + i);
    const move = (step: number) => {
      for (let j = 0; j < data.length; j++) data[j] += step * direction[j];
    };
    const h = 2e-5;
    const at = (steps: number) => {
      move(steps * h);
      const { loss } = truth.run(documents);
      move(-steps * h);
      return loss;
    };
    const difference = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
    const slope = gradients.get(name)!.reduce((sum, g, j) => sum + g * direction[j], 0);
    expect(Math.abs(difference - slope), name).toBeLessThan(1e-6 * Math.max(1, Math.abs(slope)));
  }
});

test.each(['F16', 'BF16'] as const)('weights from %s files', async (dtype) => {
  const { config, lengths } = SHAPE_CASES[6];
  const weights = randomWeights(config, 5, dtype);
  const dir = path.join(scratch, dtype);
  await writeLlama(dir, config, weights, dtype);
  const documents = randomDocuments(config.vocab_size, lengths, 6);
  for (const precision of ['f32', 'mixed'] as const) {
    const model = await loadLlama(device, dir, { precision, trainable: true });
    await holdTo(model, new LlamaF64(config, weights), documents, weightsOf(model));
    model.dispose();
  }
});

test.each(['f32', 'mixed'] as const)(
  'a KV cache that several sequences fill in uneven pieces, %s',
  async (precision) => {
    const { config } = SHAPE_CASES[1];
    const weights = randomWeights(config, 7);
    const dir = path.join(scratch, `pieces ${precision}`);
    await writeLlama(dir, config, weights);
    const truth = new LlamaF64(config, weights);
    const sequences = randomDocuments(config.vocab_size, [40, 3, 37], 9).map(({ input_ids }) => Array.from(input_ids));
    const model = await loadLlama(device, dir, { precision });
    const cache = new KvCache(device, {
      sequences: 3,
      capacity: 41,
      layers: config.num_hidden_layers,
      heads: config.num_key_value_heads!,
      headSize: config.head_dim!,
      dtype: model.compute,
    });
    const done = [0, 0, 0];
    for (const counts of [
      [33, 1, 2],
      [1, 0, 30],
      [0, 1, 1],
      [5, 1, 4],
      [1, 0, 0],
    ]) {
      const pieces = counts.map((count, s) => sequences[s].slice(done[s], done[s] + count));
      const logits = await device.scopeAsync(async () => model.next(pieces, cache).numbers());
      let row = 0;
      for (const [s, count] of counts.entries()) {
        done[s] += count;
        if (count === 0) continue;
        const want = truth.logits([{ input_ids: sequences[s].slice(0, done[s]) }]).slice(-config.vocab_size);
        const own = logits.slice(row * config.vocab_size, ++row * config.vocab_size);
        if (precision === 'f32') expect(maxErrorOverMax(own, want)).toBeLessThan(BARS.f32.logits);
        else expect(relativeL2(own, want)).toBeLessThan(BARS.mixed.gradient);
      }
      expect(logits.length).toBe(row * config.vocab_size);
    }
    expect(done).toEqual([40, 3, 37]);
    cache.dispose();
    model.dispose();
  },
);

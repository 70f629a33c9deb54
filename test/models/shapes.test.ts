import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Tape, withTape } from '../../src/autograd/tape.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters, type Trainable } from '../../src/lora/attach.ts';
import { batchOf, countTargets, type Document } from '../../src/models/batch.ts';
import type { Llama } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { BARS } from '../../src/reference/bars.ts';
import { maxErrorOverMax, relativeL2 } from '../../src/reference/compare.ts';
import { normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { randomWeights, shapesOf, writeLlama } from '../support/llama-directory.ts';
import { type LoraF64, LlamaF64, type Named } from '../support/llama-f64.ts';
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
    if (model.precision === 'f32') expect(maxErrorOverMax(logits, expected.logits), 'logits').toBeLessThan(BARS.f32.logits);
    else expect(relativeL2(logits, expected.logits), 'logits').toBeLessThan(BARS.mixed.gradient);
    const tape = new Tape();
    const loss = withTape(tape, () => model.loss(batch, countTargets(documents)));
    expect(Math.abs((await loss.item()) - expected.loss), 'loss').toBeLessThan(bars.loss);
    tape.backward(loss);
  });
  const errors: Record<string, number> = {};
  for (const { name, tensor } of trainables) {
    const want = expected.gradients.get(name.replace('base_model.model.', ''));
    if (!want || !tensor.grad) throw new Error(`${name}: no gradient`);
    const got = await tensor.grad.numbers();
    const error = model.precision === 'f32' ? maxErrorOverMax(got, want) : relativeL2(got, want);
    if (!(error <= bars.gradient)) errors[name] = error;
    tensor.grad.dispose();
    tensor.grad = null;
  }
  expect(errors).toEqual({});
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
});

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { writeAdapter } from '../../src/formats/peft.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import type { Document } from '../../src/models/batch.ts';
import { loadLlama } from '../../src/models/load.ts';
import { AdamW } from '../../src/optim/adamw.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { trainConfigSchema } from '../../src/train/config.ts';
import { finetune, openSession } from '../../src/train/finetune.ts';
import { planMemory } from '../../src/train/memory-plan.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { openData } from '../../src/train/training-data.ts';
import { compare } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();

/** A few steps of QLoRA as `train` runs them; losses of each step and the files of the adapter. */
async function run(seed: number) {
  const config = trainConfigSchema.parse({
    max_seq_length: 256,
    lora_dropout: 0.1,
    optim: 'adamw_8bit',
    load_in_4bit: true,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 2,
    max_steps: 3,
    warmup_steps: 1,
    learning_rate: 5e-3,
    r: 8,
    seed,
  });
  const data = await openData(config);
  const plan = await planMemory(device.capabilities, config, data, null);
  const session = await openSession(device, config, data, plan);
  const losses: number[] = [];
  await finetune(session, data, config, plan, ({ loss }) => losses.push(loss));
  const dir = mkdtempSync(path.join(os.tmpdir(), 'finetune-'));
  try {
    if (!session.adapter) throw new Error('a fine-tuned session has an adapter');
    const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const { name, tensor } of session.trainables)
      tensors.set(name, { shape: tensor.shape, data: await tensor.data() });
    await writeAdapter(dir, session.adapter, tensors);
    const files = readdirSync(dir).sort();
    return { losses, files: files.map((file) => [file, readFileSync(path.join(dir, file)).toString('base64')]) };
  } finally {
    session.model.dispose();
    rmSync(dir, { recursive: true });
  }
}

test('the same seed gives the same losses and adapter files, another seed others', async () => {
  const first = await run(11);
  expect(first.losses).toHaveLength(3);
  expect(await run(11)).toEqual(first);
  const other = await run(12);
  expect(other.losses).not.toEqual(first.losses);
  expect(other.files).not.toEqual(first.files);
});

const ADAPTER = parsePeftConfig(
  { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'v_proj', 'down_proj'] },
  'test',
);

function documents(seed: number, lengths: readonly number[]): Document[] {
  const random = new Random(seed);
  return lengths.map((length) => ({ input_ids: Array.from({ length }, () => random.below(500)) }));
}

/**
 * Largest error over the largest value between one batch and several micro-batches, in f32: sums over tokens are
 * added in another order, and three steps carry that on.
 */
const ACCUMULATION = { loss: 1e-6, norm: 1e-5, state: 1e-5, parameter: 1e-5 };

describe('gradient accumulation', () => {
  const LENGTHS = [50, 3, 28, 17];

  /** Three steps of documents that are cut into micro-batches of so many. */
  async function train(counts: readonly number[]) {
    const model = await loadLlama(device, 'models/tiny', { precision: 'f32' });
    const random = new Random(1);
    const trainables = attachAdapters(model, ADAPTER, { uniform: () => random.uniform() });
    // With eps far above the gradients an update is proportional to them: it shows their size, not only their sign.
    const optimizer = new AdamW(trainables, { eps: 1 });
    const trainer = new Trainer(model, {
      optimizer,
      rate: () => 1,
      max_grad_norm: 0,
      gradient_checkpointing: 'none',
      seed: 1,
    });
    const losses: number[] = [];
    const norms: number[] = [];
    for (let step = 0; step < 3; step++) {
      const all = documents(step, LENGTHS);
      const { loss, grad_norm } = await trainer.step(counts.map((count) => all.splice(0, count)));
      losses.push(loss);
      norms.push(grad_norm);
    }
    const state = await optimizer.state();
    const parameters = new Map<string, Float32Array>();
    for (const { name, tensor } of trainables) parameters.set(name, await tensor.data());
    trainer.dispose();
    optimizer.dispose();
    model.dispose();
    return { losses, norms, state, parameters };
  }

  test.each([[[1, 1, 1, 1]], [[1, 2, 1]], [[3, 1]]])('%j documents equal one batch of them', async (counts) => {
    const whole = await train([4]);
    const parts = await train(counts);
    compare('losses', parts.losses, whole.losses, ACCUMULATION.loss);
    compare('gradient norms', parts.norms, whole.norms, ACCUMULATION.norm);
    for (const [name, { data }] of whole.state)
      compare(name, parts.state.get(name)?.data ?? [], data, ACCUMULATION.state);
    for (const [name, values] of whole.parameters)
      compare(name, parts.parameters.get(name) ?? [], values, ACCUMULATION.parameter);
  });
});

test.each([
  ['adamw_torch', AdamW],
  ['adamw_8bit', AdamW8bit],
])('%s: a step with infinite gradients changes nothing and is reported', async (_, Optimizer) => {
  const model = await loadLlama(device, 'models/tiny', { precision: 'mixed', load_in_4bit: true });
  const random = new Random(1);
  const trainables = attachAdapters(model, ADAPTER, { uniform: () => random.uniform() });
  const optimizer = new Optimizer(trainables);
  const trainer = new Trainer(model, {
    optimizer,
    rate: () => 1e-2,
    max_grad_norm: 1,
    gradient_checkpointing: 'selective',
    seed: 1,
  });
  const everything = async () => {
    const parameters = new Map<string, Float32Array>();
    for (const { name, tensor } of trainables) parameters.set(name, await tensor.data());
    return { parameters, state: await optimizer.state() };
  };
  const step = () => trainer.step([documents(3, [40]), documents(4, [9, 30])]);
  trainer.scaling.loadState(Float32Array.of(1024, 0, 0, 0, 1, 0));
  expect(await step()).toMatchObject({ skipped: false, loss_scale: 1024 });
  const before = await everything();

  // A scale so large that gradients overflow f16, as happens in training, only with certainty.
  trainer.scaling.loadState(Float32Array.of(2 ** 60, 0, 0, 0, 1, 0));
  const report = await step();
  expect(report).toMatchObject({ step: 2, skipped: true, loss_scale: 2 ** 59 });
  expect(Number.isFinite(report.loss)).toBe(true);
  expect(await everything()).toEqual(before);

  trainer.scaling.loadState(Float32Array.of(1024, 0, 0, 0, 1, 0));
  expect(await step()).toMatchObject({ step: 3, skipped: false, loss_scale: 1024 });
  expect((await everything()).parameters).not.toEqual(before.parameters);
  trainer.dispose();
  optimizer.dispose();
  model.dispose();
});

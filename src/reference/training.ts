import path from 'node:path';
import { z } from 'zod';
import type { Checkpointing } from '../autograd/tape.ts';
import { readAdapter } from '../formats/peft.ts';
import { attachAdapters } from '../lora/attach.ts';
import type { Document } from '../models/batch.ts';
import { loadLlama } from '../models/load.ts';
import { AdamW } from '../optim/adamw.ts';
import { schedule } from '../optim/schedules.ts';
import type { Device } from '../tensor/device.ts';
import { Trainer } from '../train/trainer.ts';
import { BARS } from './bars.ts';
import { arrayOf, readArrays, readJson } from './files.ts';
import type { Report } from './report.ts';

const numbers = z.array(z.number()).min(1);
const expectedSchema = z.object({
  lr: z.number(),
  weight_decay: z.number(),
  betas: z.tuple([z.number(), z.number()]),
  eps: z.number(),
  warmup_steps: z.number(),
  total_steps: z.number(),
  max_grad_norm: z.number(),
  losses: numbers,
  grad_norms: numbers,
  lrs: numbers,
});
type Expected = z.infer<typeof expectedSchema>;

/** A whole training run: losses, gradient norms and rates of each step, and the adapter at the end. */
export async function compareTraining(report: Report, device: Device, dir: string): Promise<void> {
  const expected = readJson(path.join(dir, 'train-rslora', 'expected.json'), expectedSchema);
  const final = await readAdapter(path.join(dir, 'train-rslora', 'final'));
  const runs = new Map<Checkpointing, Run>();
  for (const mode of ['none', 'selective', 'full', 'offload'] as const) {
    const run = await train(device, dir, expected, mode);
    runs.set(mode, run);
    const title = `train-rslora f32 checkpointing=${mode}`;
    const { losses, grad_norms, lrs } = expected;
    report.add({
      name: `${title} losses`,
      error: largestGap(run.losses, losses),
      bound: BARS.training.loss,
      measure: 'max|d|',
    });
    report.maxError(`${title} grad_norms`, run.norms, grad_norms, BARS.training.gradientNorm);
    report.maxError(`${title} learning rates`, run.rates, lrs, BARS.training.learningRate);
    for (const name of new Set([...run.adapter.keys(), ...final.tensors.keys()])) {
      const [got, want] = [run.adapter.get(name), final.tensors.get(name)];
      if (got && want) report.relativeL2(`${title} ${name}`, got, want, BARS.training.adapter);
      else report.missing(`${title} ${name}`);
    }
  }
  const plain = runs.get('none') as Run;
  for (const mode of ['selective', 'full', 'offload'] as const) {
    const other = runs.get(mode) as Run;
    const bits = (run: Run) => [...run.losses, ...[...run.adapter.values()].flatMap((values) => [...values])];
    report.mismatches(`train-rslora f32 ${mode} equals none to the bit`, bits(other), bits(plain), 0);
  }
}

interface Run {
  losses: number[];
  norms: number[];
  rates: number[];
  adapter: Map<string, Float32Array>;
}

async function train(device: Device, dir: string, expected: Expected, mode: Checkpointing): Promise<Run> {
  const model = await loadLlama(device, path.join(dir, 'llama-tiny'), { precision: 'f32' });
  const { config, tensors } = await readAdapter(path.join(dir, 'train-rslora', 'initial'));
  const trainables = attachAdapters(model, config, { saved: tensors });
  const { lr, weight_decay, betas, eps, warmup_steps, total_steps, max_grad_norm } = expected;
  const optimizer = new AdamW(trainables, { betas, eps, weight_decay });
  const trainer = new Trainer(model, {
    optimizer,
    rate: schedule('linear', { learning_rate: lr, warmup_steps, max_steps: total_steps }),
    max_grad_norm,
    gradient_checkpointing: mode,
    seed: 0,
  });
  const run: Run = { losses: [], norms: [], rates: [], adapter: new Map() };
  for (const microBatches of await readSteps(dir)) {
    const { loss, grad_norm, lr: rate } = await trainer.step(microBatches);
    run.losses.push(loss);
    run.norms.push(grad_norm);
    run.rates.push(rate);
  }
  for (const { name, tensor } of trainables) run.adapter.set(name, await tensor.data());
  trainer.dispose();
  optimizer.dispose();
  model.dispose();
  return run;
}

/** data.safetensors: input_ids and labels of shape [steps, micro-batches, rows, width]. */
async function readSteps(dir: string): Promise<Document[][][]> {
  const arrays = await readArrays(path.join(dir, 'train-rslora', 'data.safetensors'));
  const ids = arrayOf(arrays, 'input_ids');
  const labels = arrayOf(arrays, 'labels');
  const [steps, micros, rows, width] = ids.shape;
  const document = (row: number): Document => ({
    input_ids: ids.data.slice(row * width, (row + 1) * width),
    labels: labels.data.slice(row * width, (row + 1) * width),
  });
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);
  return range(steps).map((s) =>
    range(micros).map((m) => range(rows).map((r) => document((s * micros + m) * rows + r))),
  );
}

/** NaN for runs of different length. */
function largestGap(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.NaN;
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i])));
}

import path from 'node:path';
import { z } from 'zod';
import { withTape } from '../../src/autograd/recording.ts';
import { type Checkpointing, Tape } from '../../src/autograd/tape.ts';
import { readAdapter } from '../../src/formats/peft.ts';
import { attachAdapters, type Trainable } from '../../src/lora/attach.ts';
import { batchOf, countTargets, type Document } from '../../src/models/batch.ts';
import type { Llama } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { type Arrays, arrayOf, readArrays, readJson } from '../../src/reference/files.ts';
import type { Device } from '../../src/tensor/device.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { size } from './print.ts';

/** What is held: relative difference of each loss, cosine of each gradient. */
export const PARITY_BARS = { loss: 0.01, cosine: 0.999 };

/** Scales of the loss that the first gradients are tried with, until all are finite in f16. */
const LOSS_SCALES = [65_536, 2048, 64, 1];

const settingsSchema = z.object({ lr: z.number(), max_grad_norm: z.number() });

export interface ParityReport {
  losses: { step: number; ours: number; theirs: number; relative: number; skipped: boolean }[];
  worstLoss: number;
  /** Cosines of the first step's gradients: ours with theirs, and both with those computed in f32. */
  gradients: { name: string; cosine: number; oursExact?: number; theirsExact?: number }[];
  /** The name of the gradient with the least cosine. */
  worstGradient: { name: string; cosine: number };
  passed: boolean;
}

/** Compares with the run that bench/torch/parity_8b.py wrote to `dir`. */
export async function compareParity(
  device: Device,
  dir: string,
  { checkpointing, steps }: { checkpointing: Checkpointing; steps: number },
  tell: (text: string) => void,
): Promise<ParityReport> {
  const { lr, max_grad_norm } = readJson(path.join(dir, 'parity.json'), settingsSchema);
  const expected = await readArrays(path.join(dir, 'expected.safetensors'));
  const model = await loadLlama(device, path.join(dir, 'model'), { precision: 'mixed' });
  const { config, tensors } = await readAdapter(path.join(dir, 'adapter'));
  const trainables = attachAdapters(model, config, { saved: tensors });
  tell(`loaded; ${size(device.memory.liveBytes)}`);
  const batches = batchesOf(expected).slice(0, steps);
  const gradients = await compareGradients(model, trainables, batches[0], expected, checkpointing);
  // A NaN is worse than any number.
  const worstGradient =
    gradients.find((one) => Number.isNaN(one.cosine)) ??
    gradients.reduce((worst, one) => (one.cosine < worst.cosine ? one : worst));
  tell(`gradients of step 1: least cosine ${worstGradient.cosine.toFixed(6)} (${worstGradient.name})`);
  for (const key of ['oursExact', 'theirsExact'] as const)
    if (gradients.every((one) => one[key] !== undefined))
      tell(`  ${key}, with f32: least cosine ${Math.min(...gradients.map((one) => one[key] as number)).toFixed(6)}`);
  const optimizer = new AdamW8bit(trainables);
  const trainer = new Trainer(model, {
    optimizer,
    rate: () => lr,
    max_grad_norm,
    gradient_checkpointing: checkpointing,
    seed: 0,
  });
  const losses: ParityReport['losses'] = [];
  const theirLosses = arrayOf(expected, 'losses').data;
  for (const [i, batch] of batches.entries()) {
    const { loss, skipped, seconds } = await trainer.step([batch]);
    const relative = Math.abs(loss - theirLosses[i]) / theirLosses[i];
    losses.push({ step: i + 1, ours: loss, theirs: theirLosses[i], relative, skipped });
    tell(
      `step ${i + 1}: ${loss.toFixed(5)}, PyTorch ${theirLosses[i].toFixed(5)}, ${(100 * relative).toFixed(3)} %${skipped ? ', skipped' : ''}, ${seconds.toFixed(2)} s`,
    );
  }
  trainer.dispose();
  optimizer.dispose();
  model.dispose();
  const worstLoss = Math.max(...losses.map(({ relative }) => relative));
  const passed = worstLoss <= PARITY_BARS.loss && worstGradient.cosine >= PARITY_BARS.cosine;
  return { losses, worstLoss, gradients, worstGradient, passed };
}

/** `input_ids` and perhaps `labels` [steps, rows, seq]: each row is a document. */
function batchesOf(expected: Arrays): Document[][] {
  const { shape, data } = arrayOf(expected, 'input_ids');
  const labels = expected.get('labels')?.data ?? data;
  const [steps, rows, seq] = shape;
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);
  return range(steps).map((step) =>
    range(rows).map((row) => {
      const at = (step * rows + row) * seq;
      return { input_ids: data.slice(at, at + seq), labels: labels.slice(at, at + seq) };
    }),
  );
}

async function compareGradients(
  model: Llama,
  trainables: readonly Trainable[],
  documents: readonly Document[],
  expected: Arrays,
  checkpointing: Checkpointing,
): Promise<ParityReport['gradients']> {
  const ours = await finiteGradients(model, trainables, documents, checkpointing);
  return trainables.map(({ name }) => {
    const own = ours.get(name) as Float32Array;
    const theirs = arrayOf(expected, `grad.${name}`).data;
    const exact = expected.get(`exact.${name}`)?.data;
    return {
      name,
      cosine: cosine(own, theirs),
      oursExact: exact && cosine(own, exact),
      theirsExact: exact && cosine(theirs, exact),
    };
  });
}

/** Gradients times a loss scale at which they are finite; the last try is returned as it is. */
async function finiteGradients(
  model: Llama,
  trainables: readonly Trainable[],
  documents: readonly Document[],
  checkpointing: Checkpointing,
): Promise<Map<string, Float32Array>> {
  const { device } = model;
  const gradients = new Map<string, Float32Array>();
  for (const scale of LOSS_SCALES) {
    device.scope(() => {
      const batch = batchOf(device, documents);
      const tape = new Tape(checkpointing);
      const loss = withTape(tape, () => model.loss(batch, countTargets(documents)));
      tape.backward(loss, Tensor.from(device, [scale]));
    });
    for (const { name, tensor } of trainables) {
      gradients.set(name, (await tensor.grad?.data()) ?? new Float32Array(tensor.size));
      tensor.grad?.dispose();
      tensor.grad = null;
    }
    if ([...gradients.values()].every((values) => values.every(Number.isFinite))) break;
  }
  return gradients;
}

/** Cosine of the angle between two vectors; NaN for one that is zero or not finite. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.NaN;
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / Math.sqrt(aa * bb);
}

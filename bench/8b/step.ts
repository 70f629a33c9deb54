import { withTape } from '../../src/autograd/recording.ts';
import { type Checkpointing, Tape } from '../../src/autograd/tape.ts';
import { Random } from '../../src/data/random.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { batchOf, countTargets, type Document } from '../../src/models/batch.ts';
import type { Llama } from '../../src/models/llama.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import type { Device } from '../../src/tensor/device.ts';
import { median, milliseconds } from '../../src/tensor/timestamps.ts';
import { trainConfigSchema } from '../../src/train/config.ts';
import { adapterConfigOf, loadOptionsOf } from '../../src/train/open-trainer.ts';
import { rehearse } from '../../src/train/rehearse.ts';
import { Trainer, type StepReport as TrainerReport } from '../../src/train/trainer.ts';
import type { Setting } from './part.ts';
import { type ProfileLine, profileOf } from './profile.ts';
import { tokenFlops } from './shapes.ts';
import { randomLlama } from './weights.ts';

export interface StepReport {
  checkpointing: Checkpointing;
  tokens: number;
  /** Of each timed step by the clock, from the end of the one before: steps follow each other as in training. */
  seconds: number[];
  /** Of the median step, as bench/torch/train_8b.py has it. */
  tokensPerSecond: number;
  /** Of the arithmetic that the step needs, with what this kind of checkpointing runs again. */
  tflops: number;
  losses: number[];
  skipped: number;
  memory: Memory;
  host: Host;
  profile?: { gpuMs: number; lines: ProfileLine[] };
}

/** Bytes of device memory. */
interface Memory {
  weights: number;
  /** What else lives between steps: adapters, their gradients, the optimiser's states. */
  training: number;
  /** What a forward pass leaves for the backward pass, with the batch. */
  activations: number;
  /** Everything else at the peak: scratch, and activations that the backward pass makes again. */
  scratch: number;
  peak: number;
  /** Of all buffers that exist in a step, free ones included: what the process takes. */
  reserved: number;
  /** What the memory plan says that it takes. */
  predicted: number;
}

/** What a step costs the host. */
interface Host {
  dispatches: number;
  copies: number;
  submits: number;
  /** Until a step alone has been recorded and submitted, or its part before the first wait; the device works meanwhile. */
  recordMs: number;
  microsecondsPerDispatch: number;
  /** How often a step waits for the device, reading loss and norm at its end included. */
  waits: number;
  /** Whether there are dispatches after one of them. They should not be. */
  waitsInside: boolean;
  /** Buffers made after the second step. The bar is 0. */
  buffersMade: number;
}

export interface StepOptions {
  checkpointing: readonly Checkpointing[];
  steps: number;
  profile: boolean;
}

/** Trains a random model, one mode of checkpointing after the other. */
export async function measureSteps(
  setting: Setting,
  options: StepOptions,
  report: (step: StepReport) => void,
): Promise<void> {
  const { device, config, rows, seq, r } = setting;
  const training = trainConfigSchema.parse({
    r,
    lora_alpha: r,
    per_device_train_batch_size: rows,
    gradient_accumulation_steps: 1,
  });
  const row = () => [{ input_ids: new Int32Array(seq), labels: new Int32Array(seq) }];
  for (const mode of options.checkpointing) {
    const data = { model: config, rows: Array.from({ length: rows }, row) };
    const plan = await rehearse(device.capabilities, training, data, mode);
    const began = device.memory.liveBytes;
    const model = await randomLlama(device, config, loadOptionsOf(training, mode).embedding_on_host);
    const weights = device.memory.liveBytes - began;
    const random = new Random(3);
    const trainables = attachAdapters(model, adapterConfigOf(training), { uniform: () => random.uniform() });
    const optimizer = new AdamW8bit(trainables);
    const trainer = new Trainer(model, {
      optimizer,
      rate: () => 1e-4,
      max_grad_norm: 1,
      gradient_checkpointing: mode,
      seed: 1,
    });
    device.reserve(plan.buffers, began + plan.peakBytes);
    report(await measureMode(setting, model, trainer, { ...options, mode, weights, began, predicted: plan.peakBytes }));
    trainer.dispose();
    optimizer.dispose();
    model.dispose();
    device.trim();
  }
}

interface ModeOptions {
  mode: Checkpointing;
  steps: number;
  profile: boolean;
  /** Bytes of the base model, and those that lived before it. */
  weights: number;
  began: number;
  predicted: number;
}

async function measureMode(
  { device, config, rows, seq }: Setting,
  model: Llama,
  trainer: Trainer,
  { mode, steps, profile, weights, began, predicted }: ModeOptions,
): Promise<StepReport> {
  const random = new Random(11);
  const documents = () =>
    Array.from(
      { length: rows },
      (): Document => ({
        input_ids: Array.from({ length: seq }, () => random.below(config.vocab_size)),
      }),
    );
  for (let step = 0; step < 2; step++) await trainer.step([documents()]);
  const { created, liveBytes } = device.memory;
  const training = liveBytes - began - weights;
  const reports: TrainerReport[] = [];
  const batches = Array.from({ length: steps }, () => [documents()]);
  for await (const report of trainer.steps(batches)) reports.push(report);
  const host = await hostOf(device, trainer, documents());
  const { created: createdSince } = device.memory;
  const reserved = Math.max(...reports.map(({ reservedBytes }) => reservedBytes)) - began;
  const commands = profile
    ? await device.profile(async () => {
        await trainer.step([documents()]);
      })
    : null;
  const activations = keptByForward(model, documents(), mode);
  const peak = Math.max(...reports.map(({ peakBytes }) => peakBytes)) - began;
  const seconds = reports.map((report) => report.seconds);
  const tokens = rows * seq;
  const rate = tokens / median(seconds);
  return {
    checkpointing: mode,
    tokens,
    seconds,
    tokensPerSecond: rate,
    tflops: (rate * tokenFlops(config, seq, mode === 'full' || mode === 'offload')) / 1e12,
    losses: reports.map(({ loss }) => loss),
    skipped: reports.filter((report) => report.skipped).length,
    memory: {
      weights,
      training,
      activations,
      scratch: peak - weights - training - activations,
      peak,
      reserved,
      predicted,
    },
    host: { ...host, buffersMade: createdSince - created },
    profile: commands ? { gpuMs: milliseconds(commands), lines: profileOf(commands) } : undefined,
  };
}

/** What one step costs the host, alone. */
async function hostOf(
  device: Device,
  trainer: Trainer,
  documents: readonly Document[],
): Promise<Omit<Host, 'buffersMade'>> {
  await device.finish();
  const before = device.work;
  const start = performance.now();
  const running = trainer.step([documents]);
  // A step runs up to its first wait before it returns.
  const recordMs = performance.now() - start;
  const recorded = device.work;
  await running;
  const after = device.work;
  return {
    dispatches: after.dispatches - before.dispatches,
    copies: after.copies - before.copies,
    submits: after.submits - before.submits,
    recordMs,
    microsecondsPerDispatch: (1000 * recordMs) / (recorded.dispatches - before.dispatches),
    waits: after.waits - before.waits,
    waitsInside: after.dispatches > recorded.dispatches,
  };
}

/** Bytes that live when the backward pass begins and did not before. */
function keptByForward(model: Llama, documents: readonly Document[], mode: Checkpointing): number {
  const { device } = model;
  const before = device.memory.liveBytes;
  return device.scope(() => {
    const batch = batchOf(device, documents);
    const tape = new Tape(mode);
    withTape(tape, () => model.loss(batch, countTargets(documents)));
    const kept = device.memory.liveBytes - before;
    tape.release();
    return kept;
  });
}

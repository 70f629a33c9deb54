import { type Checkpointing, Tape, withTape } from '../../src/autograd/tape.ts';
import { Random } from '../../src/data/random.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { batchOf, countTargets, type Document } from '../../src/models/batch.ts';
import type { Llama } from '../../src/models/llama.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { Trainer } from '../../src/train/trainer.ts';
import type { Setting } from './part.ts';
import { type ProfileLine, profileOf } from './profile.ts';
import { tokenFlops } from './shapes.ts';
import { median, milliseconds } from './timing.ts';
import { randomLlama } from './weights.ts';

export interface StepReport {
  checkpointing: Checkpointing;
  tokens: number;
  /** Of each timed step, by the clock, to the end of all GPU work. */
  seconds: number[];
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
  /** Of all buffers that exist after the step, free ones included: what the process takes. */
  reserved: number;
}

/** What a step costs the host. */
interface Host {
  dispatches: number;
  copies: number;
  submits: number;
  /** Until the step has been recorded and submitted; the device works meanwhile. */
  recordMs: number;
  microsecondsPerDispatch: number;
  /** How often a step waits for the device, reading loss and norm at its end included. */
  waits: number;
  /** Waits with dispatches after them. The bar is 0. */
  waitsInside: number;
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
  const { device, config, r } = setting;
  const began = device.memory.liveBytes;
  const model = await randomLlama(device, config);
  const weights = device.memory.liveBytes - began;
  const random = new Random(3);
  const adapter = {
    peft_type: 'LORA',
    r,
    lora_alpha: r,
    use_rslora: true,
    target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  };
  const trainables = attachAdapters(model, parsePeftConfig(adapter, 'bench'), { uniform: () => random.uniform() });
  for (const checkpointing of options.checkpointing) {
    const optimizer = new AdamW8bit(trainables);
    const trainer = new Trainer(model, {
      optimizer,
      rate: () => 1e-4,
      max_grad_norm: 1,
      gradient_checkpointing: checkpointing,
      seed: 1,
    });
    report(await measureMode(setting, model, trainer, { ...options, mode: checkpointing, weights, began }));
    trainer.dispose();
    optimizer.dispose();
    device.trim();
  }
  model.dispose();
  device.trim();
}

interface ModeOptions {
  mode: Checkpointing;
  steps: number;
  profile: boolean;
  /** Bytes of the base model, and those that lived before it. */
  weights: number;
  began: number;
}

async function measureMode(
  { device, config, rows, seq }: Setting,
  model: Llama,
  trainer: Trainer,
  { mode, steps, profile, weights, began }: ModeOptions,
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
  await device.finish();
  const { created, liveBytes } = device.memory;
  const training = liveBytes - began - weights;
  const [seconds, losses]: number[][] = [[], []];
  let [peak, skipped] = [0, 0];
  let host: Omit<Host, 'buffersMade'> | null = null;
  for (let step = 0; step < steps; step++) {
    const batch = documents();
    const start = performance.now();
    const work = device.work;
    const running = trainer.step([batch]);
    // Up to its first wait a step has run by now.
    const recordMs = performance.now() - start;
    const recorded = device.work;
    const result = await running;
    await device.finish();
    seconds.push((performance.now() - start) / 1000);
    losses.push(result.loss);
    skipped += Number(result.skipped);
    peak = Math.max(peak, result.peakBytes - began);
    const dispatches = device.work.dispatches - work.dispatches;
    host = {
      dispatches,
      copies: device.work.copies - work.copies,
      submits: device.work.submits - work.submits,
      recordMs,
      microsecondsPerDispatch: (1000 * recordMs) / (recorded.dispatches - work.dispatches),
      waits: device.work.waits - work.waits - 1,
      waitsInside: recorded.dispatches === device.work.dispatches ? 0 : 1,
    };
  }
  const buffersMade = device.memory.created - created;
  const reserved = device.memory.reservedBytes;
  const activations = keptByForward(model, documents(), mode);
  const commands = profile
    ? await device.profile(async () => {
        await trainer.step([documents()]);
      })
    : null;
  const tokens = rows * seq;
  const rate = tokens / median(seconds);
  return {
    checkpointing: mode,
    tokens,
    seconds,
    tokensPerSecond: rate,
    tflops: (rate * tokenFlops(config, seq, mode === 'full' ? 1 : 0)) / 1e12,
    losses,
    skipped,
    memory: { weights, training, activations, scratch: peak - weights - training - activations, peak, reserved },
    host: { ...(host as Omit<Host, 'buffersMade'>), buffersMade },
    profile: commands ? { gpuMs: milliseconds(commands), lines: profileOf(commands) } : undefined,
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

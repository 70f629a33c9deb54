import type { Checkpointing } from '../autograd/tape.ts';
import { weightShapes } from '../models/init.ts';
import type { Capabilities } from '../tensor/capabilities.ts';
import { sizeOf } from '../tensor/shape.ts';
import type { TrainConfig } from './config.ts';
import { bytes } from './progress.ts';
import { type RehearsedStep, rehearse } from './rehearse.ts';
import type { TrainingData } from './training-data.ts';

/** What is kept, computed again or sent to host memory in training, and what that takes. */
export interface MemoryPlan {
  step: RehearsedStep;
  /** Why this way of checkpointing. */
  reason: string;
  /** The next faster way, for comparison; null if there is none. */
  faster: RehearsedStep | null;
  /** Free device memory when the plan was made; null if it is not known. */
  free: number | null;
  /** What is wrong with it, and what to do. */
  warning: string | null;
}

/** Fastest first: each takes less memory than the one before, for more time. */
const MODES: readonly Checkpointing[] = ['none', 'selective', 'full', 'offload'];
/** What the driver takes beside the buffers, for kernels and for buffers on their way, grows with them a little. */
const MARGIN = { bytes: 256e6, part: 0.03 };
/** Where free memory is not known, models of so many parameters are taken for too large to keep activations. */
const LARGE = 1e9;

const fits = ({ peakBytes }: RehearsedStep, free: number) => peakBytes * (1 + MARGIN.part) + MARGIN.bytes <= free;

/**
 * Decides how a run uses memory, before any weight is read: as told, or in the fastest way that fits.
 *
 * @param free bytes of device memory, null if they are not known
 */
export async function planMemory(
  capabilities: Capabilities,
  config: TrainConfig,
  data: Pick<TrainingData, 'model' | 'rows'>,
  free: number | null,
): Promise<MemoryPlan> {
  const step = (mode: Checkpointing) => rehearse(capabilities, config, data, mode);
  const wanted = config.gradient_checkpointing;
  if (wanted === 'auto' && free !== null) return fastestThatFits(step, config, free);
  const large = parametersOf(data) >= LARGE;
  const mode = wanted !== 'auto' ? wanted : large ? 'full' : 'selective';
  const unknown = `auto: free device memory is not known, and the model has ${large ? 'a billion parameters or more' : 'less than a billion parameters'}`;
  const before = MODES[MODES.indexOf(mode) - 1];
  const planned = await step(mode);
  return {
    step: planned,
    reason: wanted === 'auto' ? unknown : 'as told',
    faster: before ? await step(before) : null,
    free,
    warning: free !== null && !fits(planned, free) ? tooLarge(planned, config, free) : null,
  };
}

async function fastestThatFits(
  step: (mode: Checkpointing) => Promise<RehearsedStep>,
  config: TrainConfig,
  free: number,
): Promise<MemoryPlan> {
  let faster: RehearsedStep | null = null;
  for (const mode of MODES) {
    const planned = await step(mode);
    const last = mode === MODES.at(-1);
    const fit = fits(planned, free);
    if (fit || last)
      return {
        step: planned,
        reason: fit ? 'auto: the fastest that fits' : 'auto: the least memory there is a way for',
        faster,
        free,
        warning: fit ? null : tooLarge(planned, config, free),
      };
    faster = planned;
  }
  throw new Error('a way of checkpointing is always found');
}

function tooLarge({ checkpointing, peakBytes }: RehearsedStep, config: TrainConfig, free: number): string {
  const less = MODES.indexOf(checkpointing) < MODES.length - 1 ? ['set gradient_checkpointing to auto'] : [];
  if (config.per_device_train_batch_size > 1)
    less.push(`lower per_device_train_batch_size (${config.per_device_train_batch_size})`);
  less.push(`lower max_seq_length (${config.max_seq_length})`);
  if (!config.load_in_4bit) less.push('set load_in_4bit');
  return `memory: gradient_checkpointing ${checkpointing} needs ${bytes(peakBytes)} and ${bytes(free)} are free, so training may run out of memory; ${less.join(', or ')}`;
}

function parametersOf({ model }: Pick<TrainingData, 'model'>): number {
  return [...weightShapes(model).values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/** The plan as a table, for people; without parts below a thousandth. */
export function planLines({ step, reason, faster, free }: MemoryPlan): string[] {
  const row = (name: string, size: number, note = '') => `  ${name.padEnd(22)}${bytes(size).padStart(9)}${note}`;
  return [
    `memory plan: gradient_checkpointing ${step.checkpointing} (${reason})`,
    ...step.parts.filter((part) => part.bytes >= step.peakBytes / 1000).map((part) => row(part.name, part.bytes)),
    row('predicted peak', step.peakBytes, free === null ? '' : ` of ${bytes(free)} free`),
    ...(step.hostBytes > 0 ? [row('host memory', step.hostBytes, ' for checkpoints')] : []),
    ...(faster ? [row(`${faster.checkpointing} would need`, faster.peakBytes, ', and is faster')] : []),
  ];
}

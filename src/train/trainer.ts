import { withTape } from '../autograd/recording.ts';
import { type Checkpointing, Tape } from '../autograd/tape.ts';
import { complain } from '../errors.ts';
import { batchOf, countTargets, type Document } from '../models/batch.ts';
import type { Llama } from '../models/llama.ts';
import { GradientScaling, scalingReport } from '../optim/gradient-scaling.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { addInto } from '../tensor/elementwise.ts';
import { Tensor } from '../tensor/tensor.ts';

export interface TrainerOptions {
  optimizer: Optimizer;
  /** Learning rate of step s, from 0. */
  rate: (step: number) => number;
  /** Gradients are scaled down to this global norm; 0 leaves them. */
  max_grad_norm: number;
  gradient_checkpointing: Checkpointing;
  seed: number;
  /** Told what begins: the passes of each micro-batch, then the optimiser's part. */
  watch?: (phase: Phase) => void;
}

export type Phase = 'forward' | 'backward' | 'update';

/** What one optimiser step did. */
export interface StepReport {
  /** From 1. */
  step: number;
  /** Mean cross-entropy over the step's targets, in nats. */
  loss: number;
  lr: number;
  /** Global norm before clipping. */
  grad_norm: number;
  /** Tokens read, targets or not. */
  tokens: number;
  targets: number;
  seconds: number;
  /** True when a gradient was not finite and the parameters stayed as they were. */
  skipped: boolean;
  loss_scale: number;
  /** Most device memory in use during the step. */
  peakBytes: number;
  /** The most that existed on the device, buffers that wait for their next use included. */
  reservedBytes: number;
}

/** What the host knows of a step before the device has done it. */
type Recorded = Pick<StepReport, 'step' | 'lr' | 'tokens' | 'targets' | 'peakBytes' | 'reservedBytes'> & {
  began: number;
};

/** Runs optimiser steps over micro-batches. */
export class Trainer {
  readonly model: Llama;
  readonly scaling: GradientScaling;
  readonly #options: TrainerOptions;
  /** What the host reads of a step, f32: the loss, then the scaling's stats. */
  readonly #results: Tensor;
  readonly #loss: Tensor;
  #step = 0;
  /** When the last report arrived. */
  #reported = 0;

  constructor(model: Llama, options: TrainerOptions) {
    this.model = model;
    this.#options = options;
    this.scaling = new GradientScaling(model.device, { enabled: model.precision === 'mixed' });
    this.#results = model.device.persist(Tensor.zeros(model.device, [1 + this.scaling.stats.size]));
    this.#loss = this.#results.slice(0, 0, 1);
  }

  /**
   * One optimiser step; the loss is the mean over the targets of all micro-batches together.
   *
   * @throws UserError when no token has a target, or when the loss is not a number
   */
  async step(microBatches: readonly (readonly Document[])[]): Promise<StepReport> {
    return this.#record(microBatches);
  }

  /**
   * Steps one after the other without a pause of the device: a report arrives while the step after it is under way
   * already, so that the parameters are not those of the report. Errors are those of {@link step}. Steps that wait in the
   * middle follow each other's reports.
   */
  steps(batches: Iterable<readonly (readonly Document[])[]>): AsyncGenerator<StepReport> {
    const record = (microBatches: readonly (readonly Document[])[]) => this.#record(microBatches);
    return this.#waits ? oneByOne(batches, record) : oneBehind(batches, record);
  }

  /** Hands a step to the device; what it did is known later. */
  #record(microBatches: readonly (readonly Document[])[]): Promise<StepReport> {
    const { device } = this.model;
    const began = performance.now();
    const targets = microBatches.reduce((sum, documents) => sum + countTargets(documents), 0);
    if (targets === 0)
      throw complain({
        where: `train: step ${this.#step + 1}`,
        got: 'no token with a label',
        expected: 'at least one target token in a step',
        remedy: 'check the chat template and the assistant mask, or raise max_seq_length',
      });
    device.restoreReserve();
    device.resetPeakMemory();
    device.zero(this.#loss);
    const update = () => this.#update(microBatches, targets, began);
    // What a step that fails has collected must not go into the next one.
    const giveUp = (error: unknown) => {
      this.#dropGradients();
      throw error;
    };
    if (this.#waits) return this.#learnWaiting(microBatches, targets).then(update, giveUp);
    try {
      for (const [index, documents] of microBatches.entries())
        device.scope(() => {
          const tape = new Tape(this.#options.gradient_checkpointing);
          this.#backward(tape, this.#forward(tape, documents, targets, index));
        });
    } catch (error) {
      giveUp(error);
    }
    return update();
  }

  #dropGradients(): void {
    for (const { tensor } of this.#options.optimizer.parameters) {
      tensor.grad?.dispose();
      tensor.grad = null;
    }
  }

  /** Whether steps wait for the device in the middle. */
  get #waits(): boolean {
    return this.#options.gradient_checkpointing === 'offload';
  }

  /** The micro-batches of a step, with a wait in each for its checkpoints to arrive in host memory. */
  async #learnWaiting(microBatches: readonly (readonly Document[])[], targets: number): Promise<void> {
    for (const [index, documents] of microBatches.entries())
      await this.model.device.scopeAsync(async () => {
        const tape = new Tape(this.#options.gradient_checkpointing);
        const loss = this.#forward(tape, documents, targets, index);
        await tape.arrival();
        this.#backward(tape, loss);
      });
  }

  /** The optimiser's part of a step, and its report. */
  #update(microBatches: readonly (readonly Document[])[], targets: number, began: number): Promise<StepReport> {
    const { device } = this.model;
    const { optimizer, rate, max_grad_norm } = this.#options;
    this.#options.watch?.('update');
    const lr = rate(this.#step);
    device.scope(() => {
      this.scaling.measure(optimizer.parameters, max_grad_norm);
      optimizer.step({ lr, stats: this.scaling.stats });
      this.scaling.update();
    });
    this.#dropGradients();
    device.copy(this.scaling.stats, this.#results.slice(0, 1, this.#results.size));
    return this.#report({
      step: ++this.#step,
      lr,
      tokens: microBatches.flat().reduce((sum, document) => sum + document.input_ids.length, 0),
      targets,
      began,
      peakBytes: device.memory.peakBytes,
      reservedBytes: device.memory.peakReservedBytes,
    });
  }

  /** Reads back what the step that was recorded last did. */
  async #report({ began, ...known }: Recorded): Promise<StepReport> {
    const [loss, ...stats] = await this.#results.data();
    const { grad_norm, found_inf, loss_scale } = scalingReport(stats);
    if (Number.isNaN(loss))
      throw complain({
        where: `train: step ${known.step}`,
        got: 'a loss that is not a number',
        expected: 'a finite loss',
        remedy: 'lower learning_rate, or check the base model and the data of this step',
      });
    const now = performance.now();
    // A step that was recorded while the one before ran has the device from that one's end on.
    const seconds = (now - Math.max(began, this.#reported)) / 1000;
    this.#reported = now;
    return { ...known, loss, grad_norm, skipped: found_inf, loss_scale, seconds };
  }

  #forward(tape: Tape, documents: readonly Document[], targets: number, index: number): Tensor {
    this.#options.watch?.('forward');
    const seed =
      (Math.imul(this.#options.seed + 1, 0x9e3779b1) ^ Math.imul(this.#step * 4096 + index + 1, 0x85ebca6b)) >>> 0;
    const batch = batchOf(this.model.device, documents, seed);
    return withTape(tape, () => this.model.loss(batch, targets));
  }

  #backward(tape: Tape, loss: Tensor): void {
    this.#options.watch?.('backward');
    tape.backward(loss, this.scaling.lossScale);
    addInto(this.#loss, loss);
    this.model.device.flush();
  }

  dispose(): void {
    this.#results.dispose();
    this.scaling.dispose();
  }
}

async function* oneByOne<T, R>(inputs: Iterable<T>, start: (input: T) => Promise<R>): AsyncGenerator<R> {
  for (const input of inputs) yield await start(input);
}

/** Results in order, each awaited only when the work after it has been started too; if that fails, still before. */
async function* oneBehind<T, R>(inputs: Iterable<T>, start: (input: T) => Promise<R>): AsyncGenerator<R> {
  let last: Promise<R> | null = null;
  const iterator = inputs[Symbol.iterator]();
  for (let more = true; more; ) {
    let next: Promise<R> | null = null;
    try {
      const { value, done } = iterator.next();
      more = !done;
      if (!done) next = start(value);
    } catch (error) {
      if (last) yield await last;
      throw error;
    }
    next?.catch(() => {}); // Thrown when its turn comes.
    if (last) yield await last;
    last = next;
  }
}

import { type Checkpointing, Tape, withTape } from '../autograd/tape.ts';
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
}

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
}

/** What the host knows of a step before the device has done it. */
type Recorded = Pick<StepReport, 'step' | 'lr' | 'tokens' | 'targets' | 'peakBytes'> & { began: number };

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
   * already, so that the parameters are not those of the report. Errors are those of {@link step}.
   */
  steps(batches: Iterable<readonly (readonly Document[])[]>): AsyncGenerator<StepReport> {
    const record = (microBatches: readonly (readonly Document[])[]) => this.#record(microBatches);
    return oneBehind(batches, record);
  }

  /** Hands a step to the device; what it did is known later. */
  #record(microBatches: readonly (readonly Document[])[]): Promise<StepReport> {
    const { device } = this.model;
    const { optimizer, rate, max_grad_norm } = this.#options;
    const began = performance.now();
    const targets = microBatches.reduce((sum, documents) => sum + countTargets(documents), 0);
    if (targets === 0)
      throw complain({
        where: `train: step ${this.#step + 1}`,
        got: 'no token with a label',
        expected: 'at least one target token in a step',
        remedy: 'check the chat template and the assistant mask, or raise max_seq_length',
      });
    device.resetPeakMemory();
    device.zero(this.#loss);
    for (const [index, documents] of microBatches.entries()) this.#backward(documents, targets, index);
    const lr = rate(this.#step);
    device.scope(() => {
      this.scaling.measure(optimizer.parameters, max_grad_norm);
      optimizer.step({ lr, stats: this.scaling.stats });
      this.scaling.update();
    });
    for (const { tensor } of optimizer.parameters) {
      tensor.grad?.dispose();
      tensor.grad = null;
    }
    device.copy(this.scaling.stats, this.#results.slice(0, 1, this.#results.size));
    return this.#report({
      step: ++this.#step,
      lr,
      tokens: microBatches.flat().reduce((sum, document) => sum + document.input_ids.length, 0),
      targets,
      began,
      peakBytes: device.memory.peakBytes,
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

  #backward(documents: readonly Document[], targets: number, index: number): void {
    const { device } = this.model;
    device.scope(() => {
      const seed =
        (Math.imul(this.#options.seed + 1, 0x9e3779b1) ^ Math.imul(this.#step * 4096 + index + 1, 0x85ebca6b)) >>> 0;
      const batch = batchOf(device, documents, seed);
      const tape = new Tape(this.#options.gradient_checkpointing);
      const loss = withTape(tape, () => this.model.loss(batch, targets));
      tape.backward(loss, this.scaling.lossScale);
      addInto(this.#loss, loss);
    });
    device.flush();
  }

  dispose(): void {
    this.#results.dispose();
    this.scaling.dispose();
  }
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

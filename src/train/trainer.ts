import { type Checkpointing, Tape, withTape } from '../autograd/tape.ts';
import { complain } from '../errors.ts';
import { batchOf, countTargets, type Document } from '../models/batch.ts';
import type { Llama } from '../models/llama.ts';
import { GradientScaling } from '../optim/gradient-scaling.ts';
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

/** Runs optimiser steps over micro-batches. */
export class Trainer {
  readonly model: Llama;
  readonly scaling: GradientScaling;
  readonly #options: TrainerOptions;
  readonly #loss: Tensor;
  #step = 0;

  constructor(model: Llama, options: TrainerOptions) {
    this.model = model;
    this.#options = options;
    this.#loss = model.device.persist(Tensor.zeros(model.device, [1]));
    this.scaling = new GradientScaling(model.device, { enabled: model.precision === 'mixed' });
  }

  /**
   * One optimiser step; the loss is the mean over the targets of all micro-batches together.
   *
   * @throws UserError when no token has a target, or when the loss is not a number
   */
  async step(microBatches: readonly (readonly Document[])[]): Promise<StepReport> {
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
    const loss = await this.#loss.item();
    const { grad_norm, found_inf, loss_scale } = await this.scaling.read();
    this.#step++;
    if (Number.isNaN(loss))
      throw complain({
        where: `train: step ${this.#step}`,
        got: 'a loss that is not a number',
        expected: 'a finite loss',
        remedy: 'lower learning_rate, or check the base model and the data of this step',
      });
    return {
      step: this.#step,
      loss,
      lr,
      grad_norm,
      tokens: microBatches.flat().reduce((sum, document) => sum + document.input_ids.length, 0),
      targets,
      seconds: (performance.now() - began) / 1000,
      skipped: found_inf,
      loss_scale,
      peakBytes: device.memory.peakBytes,
    };
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
    this.#loss.dispose();
    this.scaling.dispose();
  }
}

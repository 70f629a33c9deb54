import { AdamWClock } from './adamw-clock.ts';
import { Moments32 } from './adamw-update.ts';
import {
  type AdamWOptions,
  adamWOptions,
  checkParameters,
  type Optimizer,
  type Parameter,
  type SavedState,
  STEP_KEY,
  type StepOptions,
  savedState,
} from './optimizer.ts';

/** AdamW with f32 moments: `torch.optim.AdamW` step by step, 8 bytes of state a weight. */
export class AdamW implements Optimizer {
  readonly parameters: readonly Parameter[];
  readonly #options: Required<AdamWOptions>;
  readonly #clock: AdamWClock | null;
  readonly #moments: Moments32[];

  /** @throws UserError for parameters that are not contiguous f32 tensors, or options out of range */
  constructor(parameters: readonly Parameter[], options: AdamWOptions = {}) {
    checkParameters(parameters);
    this.parameters = parameters;
    this.#options = adamWOptions(options);
    const [beta1, beta2] = this.#options.betas;
    const device = parameters[0]?.tensor.device;
    this.#clock = device ? new AdamWClock(device, (t) => [1 - beta1 ** t, Math.sqrt(1 - beta2 ** t)], false) : null;
    this.#moments = parameters.map((parameter) => new Moments32(parameter, false));
  }

  step({ lr, stats }: StepOptions): void {
    if (!this.#clock) return;
    this.#clock.tick(lr, stats);
    const { betas, eps, weight_decay } = this.#options;
    for (const [i, { tensor, weightDecay = weight_decay }] of this.parameters.entries())
      if (tensor.grad)
        this.#moments[i].update(this.#clock.values, tensor.grad, {
          beta1: betas[0],
          rest1: 1 - betas[0],
          beta2: betas[1],
          rest2: 1 - betas[1],
          eps,
          decay: 1 - lr * weightDecay,
        });
  }

  async state(): Promise<Map<string, SavedState>> {
    const saved = new Map<string, SavedState>();
    if (!this.#clock) return saved;
    saved.set(STEP_KEY, { shape: [1], data: Float32Array.of(await this.#clock.applied()) });
    for (const moments of this.#moments) for (const [key, state] of await moments.save()) saved.set(key, state);
    return saved;
  }

  loadState(saved: ReadonlyMap<string, SavedState>): void {
    if (!this.#clock) return;
    const [applied] = savedState(saved, STEP_KEY, 1, 'f32');
    for (const write of this.#moments.map((moments) => moments.load(saved))) write();
    this.#clock.restore(applied);
  }

  dispose(): void {
    this.#clock?.dispose();
    for (const moments of this.#moments) moments.dispose();
  }
}

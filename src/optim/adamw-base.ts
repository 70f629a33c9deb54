import type { Tensor } from '../tensor/tensor.ts';
import { AdamWClock, type Corrections } from './adamw-clock.ts';
import type { AdamWConstants, Moments } from './adamw-update.ts';
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
import { Region } from './regions.ts';

/** What tells one AdamW from another. */
export interface AdamWKind {
  /** From both betas. */
  corrections: (betas: readonly [number, number]) => Corrections;
  /** Whether the step size carries the second correction: see {@link AdamWClock}. */
  scaled: boolean;
  /** Parameters that share a region have to be alike in this, besides their weight decay. */
  alike: (a: Tensor, b: Tensor) => boolean;
  moments: (region: Region) => Moments;
  /** Constants of a step as this kind rounds them. */
  constants: (options: { lr: number; betas: readonly [number, number]; eps: number; decay: number }) => AdamWConstants;
}

/** A step counter and the moments of all parameters: AdamW (Loshchilov & Hutter 2019) in any arithmetic. */
export abstract class AdamWBase implements Optimizer {
  readonly parameters: readonly Parameter[];
  readonly #options: Required<AdamWOptions>;
  readonly #kind: AdamWKind;
  readonly #clock: AdamWClock | null;
  readonly #moments: readonly Moments[];

  /** @throws UserError for parameters that are not contiguous f32 tensors, or options out of range */
  constructor(parameters: readonly Parameter[], options: AdamWOptions, kind: AdamWKind) {
    checkParameters(parameters);
    this.parameters = parameters;
    this.#options = adamWOptions(options);
    this.#kind = kind;
    const device = parameters[0]?.tensor.device;
    const { betas, steps } = this.#options;
    this.#clock = device ? new AdamWClock(device, kind.corrections(betas), kind.scaled, steps) : null;
    const alike = (a: Parameter, b: Parameter) =>
      this.#decayOf(a) === this.#decayOf(b) && kind.alike(a.tensor, b.tensor);
    this.#moments = Region.all(parameters, alike).map(kind.moments);
  }

  step({ lr, stats }: StepOptions): void {
    if (!this.#clock) return;
    this.#clock.tick(lr, stats);
    const { betas, eps } = this.#options;
    for (const moments of this.#moments) {
      const decay = this.#decayOf(moments.region.parameters[0]);
      moments.update(this.#clock.values, this.#kind.constants({ lr, betas, eps, decay }));
    }
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

  #decayOf({ weightDecay = this.#options.weight_decay }: Parameter): number {
    return weightDecay;
  }
}

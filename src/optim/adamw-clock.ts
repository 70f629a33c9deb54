import type { Device } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';

/** Bias corrections 1 - beta1^t and sqrt(1 - beta2^t) of step t, from 1. */
export type Corrections = (t: number) => readonly [number, number];

const FIRST_ROWS = 1024;

/**
 * Counts applied steps on the GPU and works out the numbers that all parameters of a step share.
 *
 * Whether a step is skipped is known only on the GPU, so the count lives there, and bias corrections, which f32
 * arithmetic cannot form from beta, come from a table that the host makes in double precision.
 */
export class AdamWClock {
  /** f32: applied steps, 1 if this step is applied, multiplier of gradients, step size, sqrt(1 - beta2^t). */
  readonly values: Tensor;
  readonly #device: Device;
  readonly #corrections: Corrections;
  /** Multiplies the step size by the second correction: bitsandbytes' form of Adam. */
  readonly #scaled: boolean;
  readonly #unscaled: Tensor;
  #table: Tensor;
  #rows = 0;
  /** At least the applied steps: skipped ones are counted too. */
  #steps = 0;

  /** @param steps that are to come; the table grows when there are more */
  constructor(device: Device, corrections: Corrections, scaled: boolean, steps: number) {
    this.#device = device;
    this.#corrections = corrections;
    this.#scaled = scaled;
    this.values = device.persist(Tensor.zeros(device, [5]));
    // The stats of gradients that nothing scales or clips: see gradient-scaling.ts.
    this.#unscaled = device.persist(Tensor.from(device, [1, 0, 0, 0, 1, 0]));
    this.#table = this.#makeTable(Math.max(FIRST_ROWS, steps));
  }

  /** @param stats of gradient-scaling.ts; without them gradients are finite and unscaled */
  tick(lr: number, stats: Tensor = this.#unscaled): void {
    if (++this.#steps > this.#rows && this.#corrections(this.#rows).some((value) => value < 1)) {
      this.#table.dispose();
      this.#table = this.#makeTable(2 * Math.max(this.#rows, this.#steps));
    }
    this.#device.run({
      kernel: 'adamw-clock.wgsl',
      bindings: { stats, table: this.#table, clock: this.values },
      params: { lr, rows: this.#rows, scaled: this.#scaled ? 1 : 0 },
      workgroups: 1,
    });
  }

  async applied(): Promise<number> {
    return (await this.values.data())[0];
  }

  /** Goes on from a saved count. */
  restore(applied: number): void {
    this.#steps = applied;
    this.#device.upload(this.values, new Uint8Array(Float32Array.of(applied, 0, 0, 0, 0).buffer));
  }

  dispose(): void {
    this.values.dispose();
    this.#unscaled.dispose();
    this.#table.dispose();
  }

  #makeTable(rows: number): Tensor {
    this.#rows = rows;
    const table = new Float32Array(2 * rows);
    for (let t = 1; t <= rows; t++) table.set(this.#corrections(t), 2 * (t - 1));
    return this.#device.persist(Tensor.from(this.#device, table));
  }
}

export const variants: KernelVariant[] = [{ kernel: 'adamw-clock.wgsl', bindings: ['stats', 'table', 'clock'] }];

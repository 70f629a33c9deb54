import type { Device } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';

/**
 * Cosines and sines for rotary embeddings, computed in f64 on the host: WGSL's own are too coarse for large angles.
 * Grows by doubling as longer sequences come.
 */
export class RopeTable {
  readonly device: Device;
  /** Radians a position, size / 2 of them. */
  readonly frequencies: Float64Array;
  #positions = 0;
  #tensor: Tensor | null = null;

  constructor(device: Device, frequencies: Float64Array) {
    this.device = device;
    this.frequencies = frequencies;
  }

  /** (cos, sin) as f32 [positions, size / 2, 2] for at least `positions` positions. */
  upTo(positions: number): Tensor {
    if (this.#tensor && positions <= this.#positions) return this.#tensor;
    this.dispose();
    this.#positions = 2 ** Math.ceil(Math.log2(Math.max(256, positions)));
    const pairs = this.frequencies.length;
    const values = new Float32Array(this.#positions * pairs * 2);
    for (let position = 0; position < this.#positions; position++)
      for (const [d, frequency] of this.frequencies.entries()) {
        const at = (position * pairs + d) * 2;
        values[at] = Math.cos(position * frequency);
        values[at + 1] = Math.sin(position * frequency);
      }
    this.#tensor = this.device.persist(Tensor.from(this.device, values, [this.#positions, pairs, 2]));
    return this.#tensor;
  }

  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = null;
    this.#positions = 0;
  }
}

import { padded } from './dtype.ts';
import type { BufferPool } from './pool.ts';
import { Tensor } from './tensor.ts';

/**
 * The elements of a tensor in host memory, on their way there or back.
 *
 * WebGPU has no buffer in host memory that the device both writes and reads: what it wrote has to pass through the
 * process. So the way back is open only when the copy has arrived, which takes a wait for the device.
 */
export class HostCopy {
  readonly #like: Tensor;
  readonly #staging: BufferPool;
  readonly #map: (buffer: GPUBuffer) => Promise<void>;
  #buffer: GPUBuffer | null;
  #arrived = false;

  /** @param buffer from `staging`; the copy into it is recorded */
  constructor(like: Tensor, buffer: GPUBuffer, staging: BufferPool, map: (buffer: GPUBuffer) => Promise<void>) {
    this.#like = like;
    this.#buffer = buffer;
    this.#staging = staging;
    this.#map = map;
  }

  get arrived(): boolean {
    return this.#arrived;
  }

  /** Waits until the device has made the copy. */
  async arrive(): Promise<void> {
    if (this.#arrived || !this.#buffer) return;
    await this.#map(this.#buffer);
    this.#arrived = true;
  }

  /** The tensor on the device again, contiguous and in the current scope; the copy is used up. */
  restore(): Tensor {
    if (!this.#buffer || !this.#arrived) throw new Error('host copy: restored before it arrived or twice');
    const { device, shape, dtype, bytes } = this.#like;
    const tensor = Tensor.empty(device, shape, dtype);
    device.upload(tensor, new Uint8Array(this.#buffer.getMappedRange(0, padded(bytes)), 0, bytes));
    this.release();
    return tensor;
  }

  /** Lets go of the host memory, arrived or not; nothing if it is gone already. */
  release(): void {
    if (!this.#buffer) return;
    this.#buffer.unmap();
    this.#staging.give(this.#buffer, this.#like.bytes);
    this.#buffer = null;
  }
}

import type { Device } from './device.ts';
import type { Storage } from './storage.ts';
import { Tensor } from './tensor.ts';

/**
 * Whole numbers that both host and device know: token ids, labels, positions, row starts.
 *
 * They are attributes of operations, never differentiated; the host's copy serves checks and references. The
 * tensor belongs to the scope it was made in and must outlive the tape that uses it.
 */
export class Indices {
  readonly host: Int32Array;
  readonly tensor: Tensor;

  private constructor(host: Int32Array, tensor: Tensor) {
    this.host = host;
    this.tensor = tensor;
  }

  /** Uploads numbers as an i32 tensor of shape [count]. */
  static from(device: Device, values: ArrayLike<number>): Indices {
    const host = Int32Array.from(values);
    return new Indices(host, Tensor.from(device, host, [host.length], 'i32'));
  }

  /** So that a scope hands indices on like a tensor. */
  storages(): Storage[] {
    return this.tensor.storages();
  }

  get length(): number {
    return this.host.length;
  }
}

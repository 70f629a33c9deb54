import { castTo } from './copy.ts';
import type { Device } from './device.ts';
import { bytesOf } from './dtype.ts';
import { fromHalf } from './half.ts';
import { OpaqueMatrix } from './opaque.ts';
import type { Shape } from './shape.ts';
import { Tensor } from './tensor.ts';

/**
 * A frozen matrix that stays in host memory: for a table of which each use wants some rows.
 *
 * The embedding of Llama 3.1 8B takes 1.05 GB, of which a micro-batch of 8,192 tokens reads 67 MB at most.
 */
export class HostMatrix extends OpaqueMatrix {
  protected override readonly kind = 'matrix in host memory';
  readonly #values: Float32Array | Uint16Array;

  /** @param values f32, or the bits of f16, row-major */
  constructor(device: Device, values: Float32Array | Uint16Array, shape: Shape) {
    super(device, device.allocate(0), values instanceof Float32Array ? 'f32' : 'f16', shape);
    this.#values = values;
  }

  /** Rows by number, in this matrix's dtype; zeros for negative numbers. */
  rows(ids: ArrayLike<number>): Tensor {
    const width = this.shape[1];
    const picked = this.#values instanceof Float32Array ? Float32Array : Uint16Array;
    const values = new picked(ids.length * width);
    for (let i = 0; i < ids.length; i++)
      if (ids[i] >= 0) values.set(this.#values.subarray(ids[i] * width, (ids[i] + 1) * width), i * width);
    return this.#upload(values, [ids.length, width]);
  }

  override dense(dtype: 'f32' | 'f16'): Tensor {
    return castTo(this.#upload(this.#values, this.shape), dtype);
  }

  override async numbers(): Promise<Float32Array> {
    return this.#values instanceof Float32Array ? this.#values : fromHalf(this.#values);
  }

  override data(): Promise<never> {
    throw this.refuse('data()', 'read numbers()');
  }

  #upload(values: Float32Array | Uint16Array, shape: Shape): Tensor {
    const tensor = Tensor.empty(this.device, shape, this.dtype);
    this.device.upload(tensor, bytesOf(values));
    return tensor;
  }
}

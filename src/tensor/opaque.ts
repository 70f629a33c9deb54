import { complain } from '../errors.ts';
import type { Device } from './device.ts';
import type { DType } from './dtype.ts';
import type { Shape } from './shape.ts';
import type { Storage } from './storage.ts';
import { Tensor } from './tensor.ts';

/** A matrix whose storage is not its elements: what wants those asks for {@link dense}, or `contiguous`, which copies. */
export abstract class OpaqueMatrix extends Tensor {
  /** For errors, for example `nf4 matrix`. */
  protected abstract readonly kind: string;

  constructor(device: Device, storage: Storage, dtype: DType, shape: Shape) {
    super(device, storage, dtype, shape, { opaque: true });
  }

  abstract override dense(dtype: 'f32' | 'f16'): Tensor;

  override view(_shape?: Shape): Tensor {
    throw this.refuse('a reshape');
  }

  override slice(): Tensor {
    throw this.refuse('a slice');
  }

  override transpose(): Tensor {
    throw this.refuse('a transpose');
  }

  override expand(): Tensor {
    throw this.refuse('a broadcast');
  }

  protected refuse(got: string, remedy = 'use it in linear, or take dense() first'): Error {
    return complain({
      where: `${this.kind} [${this.shape}]`,
      got,
      expected: 'a use that understands it',
      remedy,
    });
  }
}

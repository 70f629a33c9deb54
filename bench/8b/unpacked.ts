import type { Nf4Tensor } from '../../src/quant/nf4.ts';
import { OpaqueMatrix } from '../../src/tensor/opaque.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** A frozen weight whose panels have been made, so that products on matrix units are timed without unpacking it. */
export class Unpacked extends OpaqueMatrix {
  protected override readonly kind = 'unpacked nf4 matrix';
  readonly #weight: Nf4Tensor;
  readonly #panels: Tensor | null;

  /** @param transposed whether products take it transposed */
  constructor(weight: Nf4Tensor, transposed: boolean) {
    super(weight.device, weight.storage, weight.dtype, weight.shape);
    this.#weight = weight;
    this.#panels = weight.panels(transposed);
  }

  override panels(): Tensor | null {
    return this.#panels;
  }

  override dense(dtype: 'f32' | 'f16'): Tensor {
    return this.#weight.dense(dtype);
  }
}

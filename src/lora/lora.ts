import { dropout } from '../autograd/ops/dropout.ts';
import { linear } from '../autograd/ops/linear.ts';
import { lowRankLinear } from '../autograd/ops/low-rank-linear.ts';
import { complain } from '../errors.ts';
import { bytesOf } from '../tensor/dtype.ts';
import { gemm } from '../tensor/gemm/gemm.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Adapter, AdapterCall, AdapterParameter, LowRankChange } from './adapter.ts';

/** Low-rank matrices on the host, f32 row-major. */
export interface LoraMatrices {
  /** [r, in] */
  A: Float32Array;
  /** [out, r] */
  B: Float32Array;
}

export interface LoraOptions {
  /** Factor of B·A: alpha/r, or alpha/√r for rank-stabilised LoRA. */
  scaling: number;
  /** Probability that an input element is dropped before A. */
  dropout: number;
  /** The adapted layer, for errors. */
  name?: string;
}

/**
 * LoRA: W + scaling · B · A (Hu et al. 2021, arXiv:2106.09685); with scaling alpha/√r it is rank-stabilised LoRA
 * (Kalajdzievski 2023, arXiv:2312.03732).
 *
 * A and B are f32 masters; products are computed in the dtype of the input.
 */
export class Lora implements Adapter {
  readonly A: Tensor;
  readonly B: Tensor;
  readonly options: LoraOptions;

  /**
   * @param places f32 leaves A [r, in] and B [out, r]; the adapter owns them
   * @param matrices what they start with
   * @throws UserError when the matrices do not fit them
   */
  constructor(places: { A: Tensor; B: Tensor }, options: LoraOptions, matrices: LoraMatrices) {
    const { A, B } = places;
    if (matrices.A.length !== A.size || matrices.B.length !== B.size)
      throw complain({
        where: `LoRA${options.name ? ` of ${options.name}` : ''}`,
        got: `A with ${matrices.A.length} and B with ${matrices.B.length} elements`,
        expected: `A [${A.shape.join(', ')}] and B [${B.shape.join(', ')}]`,
        remedy: 'load the adapter onto the model it was trained for',
      });
    this.options = options;
    this.A = A;
    this.B = B;
    A.device.upload(A, bytesOf(matrices.A));
    B.device.upload(B, bytesOf(matrices.B));
  }

  forward({ x, weight, residual, dtype, seed }: AdapterCall): Tensor {
    const { dropout: p, scaling: scale } = this.options;
    if (!this.#drops(seed))
      return lowRankLinear(x, [{ weight, down: this.A, up: this.B }], { residual, scale, dtype })[0];
    // The weight sees all of x and A what is left of it: two products that share no operand.
    const low = linear(dropout(x, { p, seed }), this.A);
    return linear(low, this.B, { residual: linear(x, weight, { residual, dtype }), scale, dtype });
  }

  lowRank({ seed }: Pick<AdapterCall, 'seed'>): LowRankChange | null {
    return this.#drops(seed) ? null : { down: this.A, up: this.B, scale: this.options.scaling };
  }

  #drops(seed: number | undefined): seed is number {
    return this.options.dropout > 0 && seed !== undefined;
  }

  merge(weight: Tensor): Tensor {
    return gemm({ a: this.B, b: this.A, alpha: this.options.scaling, addend: weight, dtype: 'f32' });
  }

  parameters(): AdapterParameter[] {
    return [
      { name: 'lora_A.weight', tensor: this.A },
      { name: 'lora_B.weight', tensor: this.B },
    ];
  }
}

/**
 * PEFT's default start: A uniform in ±1/√in (Kaiming with a = √5), B zero, so that training begins at the base model.
 *
 * @param uniform numbers in [0, 1)
 */
export function initialMatrices(shape: readonly number[], r: number, uniform: () => number): LoraMatrices {
  const [out, width] = shape;
  const bound = 1 / Math.sqrt(width);
  const A = new Float32Array(r * width);
  for (let i = 0; i < A.length; i++) A[i] = (2 * uniform() - 1) * bound;
  return { A, B: new Float32Array(out * r) };
}

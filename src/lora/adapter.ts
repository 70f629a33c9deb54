import type { Tensor } from '../tensor/tensor.ts';

/** What a linear layer asks of its adapter. */
export interface AdapterCall {
  /** Input [..., in] in the compute dtype. */
  x: Tensor;
  /** Frozen weight [out, in]; dense or quantised. */
  weight: Tensor;
  /** Added to the result, [..., out]. */
  residual?: Tensor;
  /** Dtype of the result. */
  dtype: 'f32' | 'f16';
  /** Seed of this call for dropout, which is left out without one: when the model is used rather than trained. */
  seed?: number;
}

/** scale · up · down, added to a weight [out, in]. */
export interface LowRankChange {
  /** [r, in] */
  down: Tensor;
  /** [out, r] */
  up: Tensor;
  scale: number;
}

/** A trainable tensor and its name below the module, for example `lora_A.weight`. */
export interface AdapterParameter {
  name: string;
  tensor: Tensor;
}

/**
 * The seam that LoRA variants plug into: an adapter takes over the product of one linear layer.
 *
 * It sees the frozen weight, so that variants which renormalise the whole product (DoRA) fit as well as those that
 * add to it.
 */
export interface Adapter {
  /** residual + (adapted weight) · x, recorded on the current tape. */
  forward(call: AdapterCall): Tensor;
  /**
   * Adapters that only add a product of thin matrices name them: layers that share their input are computed together then
   * (see `forwardTogether`). Null when this call needs more.
   */
  lowRank?(call: Pick<AdapterCall, 'seed'>): LowRankChange | null;
  /** The adapted weight [out, in] in f32, from the frozen one in f32. */
  merge(weight: Tensor): Tensor;
  parameters(): AdapterParameter[];
}

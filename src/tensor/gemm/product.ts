import type { Tensor } from '../tensor.ts';

/** A matrix product as kernels see it: dense operands of rank three that each fit one binding. */
export interface Product {
  /** [batch, m, k], or [batch, k, m] if transposed; batch may be 1 for all. */
  a: Tensor;
  transposeA: boolean;
  /** [batch, k, n], or [batch, n, k] if transposed; batch may be 1 for all. */
  b: Tensor;
  transposeB: boolean;
  alpha: number;
  /** [batch, m, width]: the product goes to columns `column … column + n − 1`. */
  y: Tensor;
  /** Same shape as y; only the same columns are read. */
  addend: Tensor | null;
  column: number;
  batch: number;
  m: number;
  n: number;
  k: number;
}

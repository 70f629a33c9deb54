import type { Tensor } from '../tensor.ts';
import type { ProductShape, ProductSizes } from './product-shape.ts';

/** `matrix`: matrix units (f16 operands only); `emulated`: the same kernel without them, for tests; `portable`: any device. */
export type GemmPath = 'matrix' | 'emulated' | 'portable';

/** A matrix product as kernels see it: dense operands of rank three that each fit one binding. */
export interface Product extends ProductSizes {
  /** [batch, m, k], or [batch, k, m] if transposed; batch may be 1 for all. Or in panels, see panels.ts. */
  a: Tensor;
  /** [batch, k, n], or [batch, n, k] if transposed; batch may be 1 for all. Or in panels, see panels.ts. */
  b: Tensor;
  /** A second product that is added: [m, r] and [r, n], or [n, r] with transposeB. */
  rider: { a: Tensor; b: Tensor } | null;
  alpha: number;
  /** [batch, m, width]: the product goes to columns `column … column + n − 1`. */
  y: Tensor;
  /** Same shape as y; only the same columns are read. */
  addend: Tensor | null;
  /** Adds to what y (f32) holds, instead of an addend. */
  collects: boolean;
  column: number;
}

export function shapeOf(product: Product): ProductShape {
  const { transposeA, transposeB, panelsA, panelsB, batch, m, n, k, y } = product;
  const addend = product.collects ? 'own' : (product.addend?.dtype ?? 'none');
  const rider = product.rider?.a.shape[1] ?? 0;
  return { transposeA, transposeB, panelsA, panelsB, batch, m, n, k, rider, y: y.dtype, addend };
}

/** Bindings of a product's kernel by its defines, for lists of variants. */
export const bindingsOf = ({ C, RIDER = 'no', SHARES = 'false' }: Record<string, unknown>): string[] => [
  'a',
  'b',
  ...(RIDER === 'no' ? [] : ['rider_a', 'rider_b']),
  ...(C === 'none' || C === 'own_f32' ? [] : ['addend']),
  'y',
  ...(SHARES === 'true' ? ['parts'] : []),
];

/** What kernels include to read the addend; where it is y it has no binding: one buffer cannot be bound twice. */
export function addendAccess({ addend, collects }: Pick<Product, 'addend' | 'collects'>) {
  if (collects) return { C: 'own_f32', bindings: undefined };
  return addend ? { C: addend.dtype, bindings: { addend } } : { C: 'none', bindings: undefined };
}

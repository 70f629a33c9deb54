import type { Tensor } from '../tensor.ts';
import type { ProductShape, ProductSizes } from './tilings.ts';

/** A matrix product as kernels see it: dense operands of rank three that each fit one binding. */
export interface Product extends ProductSizes {
  /** [batch, m, k], or [batch, k, m] if transposed; batch may be 1 for all. */
  a: Tensor;
  /** [batch, k, n], or [batch, n, k] if transposed; batch may be 1 for all. With `tiled` its tiles, see tiles.ts. */
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
  const { transposeA, transposeB, tiled, batch, m, n, k, y } = product;
  const addend = product.collects ? 'own' : (product.addend?.dtype ?? 'none');
  const rider = product.rider?.a.shape[1] ?? 0;
  return { transposeA, transposeB, tiled, batch, m, n, k, rider, y: y.dtype, addend };
}

/** What kernels include to read the addend, whose binding falls away where it is y: one buffer cannot be bound twice. */
export function addendAccess({ a, addend, collects }: Pick<Product, 'a' | 'addend' | 'collects'>) {
  return {
    C: collects ? 'own_f32' : (addend?.dtype ?? 'f32'),
    bindings: collects ? undefined : { addend: addend ?? a },
    has_addend: collects || addend ? 1 : 0,
  };
}

/** Bindings of a product's kernel, for lists of variants. */
export const bindingsOf = ({ C, RIDER = 'no' }: Record<string, string>): string[] => [
  'a',
  'b',
  ...(RIDER === 'yes' ? ['rider_a', 'rider_b'] : []),
  ...(C === 'own_f32' ? [] : ['addend']),
  'y',
];

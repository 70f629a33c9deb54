import type { DType } from '../dtype.ts';

/** Sizes of a product of [m, k] and [k, n], and how its operands lie. */
export interface ProductSizes {
  /** a is [k, m], b is [n, k]. */
  transposeA: boolean;
  transposeB: boolean;
  /** a lies in panels, see panels.ts. */
  panelsA: boolean;
  /** b lies in panels: those of a frozen weight, with room for tiles beyond the last, or with transposeA just its own. */
  panelsB: boolean;
  batch: number;
  m: number;
  n: number;
  k: number;
}

/** What decides how fast a product is. */
export interface ProductShape extends ProductSizes {
  /** Depth of the rider; 0 without one. */
  rider: number;
  /** Dtype of the result. */
  y: DType;
  /** Dtype of what is added; `own`: the result itself collects. */
  addend: DType | 'own' | 'none';
}

const powerOfTwo = (x: number) => (x <= 1 ? x : 2 ** (32 - Math.clz32(x - 1)));

/** Which operands lie in panels, to be put behind their order; those of b alone are the usual case. */
export function panelsInWords(a: boolean, b: boolean): string {
  if (a) return ` panels of ${b ? 'both' : 'a'}`;
  return b ? ' panels' : '';
}

/**
 * The name under which a product's tiling is kept. Sizes that vary with the tokens of a batch are rounded up to a power of
 * two: m, and the depth of a transposed a.
 */
export function keyOf(shape: ProductShape): string {
  const { transposeA, transposeB, panelsA, panelsB, batch, m, n, k, rider, y, addend } = shape;
  const order = `${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}`;
  const size = `${powerOfTwo(m)}x${n}x${transposeA ? powerOfTwo(k) : k}${batch > 1 ? ` batch ${batch}` : ''}`;
  return `${order} ${size}${panelsInWords(panelsA, panelsB)}${rider > 0 ? ' rider' : ''} ${y}${addend === 'none' ? '' : ` + ${addend}`}`;
}

import { complain } from '../../errors.ts';
import { contiguous } from '../copy.ts';
import { rowParts } from '../parts.ts';
import { Tensor } from '../tensor.ts';
import { matrixProduct, usableMatrixShape } from './matrix.ts';
import { portableProduct } from './portable.ts';
import type { GemmPath, Product } from './product.ts';

/** Whether a tensor exceeds one binding. */
export const isLarge = (x: Tensor | null | undefined) =>
  x != null && x.bytes > x.device.capabilities.maxBindingBytes - 16;

export const exceedsBinding = ({ a, b, y, addend }: Product) => [a, b, y, addend].some(isLarge);

/** Cuts what exceeds one binding, then launches. */
export function splitProduct(product: Product, path: GemmPath): void {
  const { a, b, y, addend, transposeA, transposeB, batch } = product;
  if (!exceedsBinding(product)) {
    launch(product, path);
    return;
  }
  if (batch > 1) {
    for (let i = 0; i < batch; i++) {
      const one = (x: Tensor) => (x.shape[0] === 1 ? x : x.slice(0, i, i + 1));
      splitProduct({ ...product, a: one(a), b: one(b), y: one(y), addend: addend && one(addend), batch: 1 }, path);
    }
    return;
  }
  if (isLarge(y) || isLarge(addend) || (isLarge(a) && !transposeA)) splitRows(product, path);
  else if (isLarge(b) && transposeB) splitColumns(product, path);
  else splitDepth(product, path);
}

const flat = (x: Tensor) => x.view(x.shape.slice(1));
export const batched = (x: Tensor) => x.view([1, ...x.shape]);

/** Rows of the result in pieces that suit the widest of a, y and addend. */
function splitRows(product: Product, path: GemmPath): void {
  const { a, y, addend, transposeA } = product;
  const widest = [y, ...(addend ? [addend] : []), ...(transposeA ? [] : [a])].reduce((x, z) =>
    z.bytes > x.bytes ? z : x,
  );
  for (const { row, rows } of rowParts(flat(widest))) {
    const end = row + rows.shape[0];
    const cut = (x: Tensor) => batched(flat(x).slice(0, row, end));
    // Columns of a transposed operand are not contiguous: these few are copied.
    const part = transposeA ? batched(contiguous(flat(a).slice(1, row, end))) : cut(a);
    splitProduct({ ...product, a: part, y: cut(y), addend: addend && cut(addend), m: end - row }, path);
  }
}

/** Columns of the result, which are rows of a transposed b. */
function splitColumns(product: Product, path: GemmPath): void {
  for (const { row, rows } of rowParts(flat(product.b)))
    splitProduct({ ...product, b: batched(rows), column: product.column + row, n: rows.shape[0] }, path);
}

/** Pieces of the inner dimension, added up one after the other. */
function splitDepth(product: Product, path: GemmPath): void {
  const { a, b, y, transposeA, transposeB, collects } = product;
  let addend = collects ? y : product.addend;
  const parts = rowParts(flat(transposeB || (transposeA && a.bytes > b.bytes) ? a : b));
  for (const [index, { row, rows }] of parts.entries()) {
    const end = row + rows.shape[0];
    const cut = (x: Tensor, alongRows: boolean) =>
      batched(alongRows ? flat(x).slice(0, row, end) : contiguous(flat(x).slice(1, row, end)));
    // As wide as y, of which this may be some columns only.
    const target = index === parts.length - 1 ? y : Tensor.empty(a.device, y.shape);
    const part = { ...product, a: cut(a, transposeA), b: cut(b, !transposeB), y: target, addend, k: end - row };
    splitProduct({ ...part, collects: false }, path);
    addend = target;
  }
}

function launch(product: Product, path: GemmPath): void {
  if (path === 'portable') {
    portableProduct(product);
    return;
  }
  const usable = path === 'emulated' || usableMatrixShape(product.a.device.capabilities);
  if (product.a.dtype !== 'f16' || product.b.dtype !== 'f16' || !usable)
    throw complain({
      where: 'gemm: path matrix',
      got: `${product.a.dtype} · ${product.b.dtype} on ${product.a.device.capabilities.name}`,
      expected: 'f16 operands and an adapter with 16×16×16 matrix units',
      remedy: 'leave the path out',
    });
  matrixProduct(product, path);
}

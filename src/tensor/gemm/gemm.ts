import { complain } from '../../errors.ts';
import { castTo, contiguous } from '../copy.ts';
import { rowParts } from '../parts.ts';
import { sizeOf } from '../shape.ts';
import { Tensor } from '../tensor.ts';
import { matrixProduct, usableMatrixShape } from './matrix.ts';
import { portableProduct } from './portable.ts';
import type { Product } from './product.ts';

/** `matrix`: matrix units (f16 operands only); `portable`: any device. */
export type GemmPath = 'matrix' | 'portable';

export interface Gemm {
  /** [..., M, K], or [..., K, M] with transposeA; f32 or f16. */
  a: Tensor;
  /** [..., K, N], or [..., N, K] with transposeB; f32 or f16. */
  b: Tensor;
  transposeA?: boolean;
  transposeB?: boolean;
  alpha?: number;
  /** Added to the product; [..., M, N]. It may be `into`, which then collects products. */
  addend?: Tensor;
  /** Where the result goes, f32 of as many elements; fresh memory if left out. */
  into?: Tensor;
  /** A thin pair of operands whose product is added too, unscaled: [..., M, R] and [..., R, N], transposed like a and b. */
  rider?: { a: Tensor; b: Tensor };
  /** Dtype of the result. */
  dtype: 'f32' | 'f16';
  /** Forced by tests and benches; chosen from operands and adapter if left out. */
  path?: GemmPath;
}

/**
 * alpha · op(a) · op(b) + op(rider.a) · op(rider.b) + addend, with sums in f32.
 *
 * Leading dimensions are batches: equal in both operands, or all 1 (or absent) in one. Operands that exceed one
 * binding are cut. The order of additions depends on the shapes and the path alone.
 *
 * @returns [..., M, N] in `dtype`
 * @throws UserError for shapes that do not fit and for a forced path that this adapter or these operands lack
 */
export function gemm({ rider, ...options }: Gemm): Tensor {
  if (!rider) return product(options);
  return options.a.device.scope(() => {
    const addend = product({ ...options, ...rider, alpha: 1, dtype: 'f32', into: undefined });
    return product({ ...options, addend });
  });
}

function product(options: Omit<Gemm, 'rider'>): Tensor {
  const { a, b, transposeA = false, transposeB = false, alpha = 1, addend, into, dtype, path } = options;
  const [m, k] = matrixOf(a, transposeA);
  const [kOfB, n] = matrixOf(b, transposeB);
  const batch = Math.max(batchOf(a), batchOf(b));
  const lead = batchOf(b) > batchOf(a) ? b.shape.slice(0, -2) : a.shape.slice(0, -2);
  const shape = [...lead, m, n];
  if (
    k !== kOfB ||
    ![a, b].every((x) => batchOf(x) === 1 || batchOf(x) === batch) ||
    (addend && addend.size !== batch * m * n)
  )
    throw complain({
      where: 'gemm',
      got: `a [${a.shape}]${transposeA ? 'ᵀ' : ''}, b [${b.shape}]${transposeB ? 'ᵀ' : ''}${addend ? `, addend [${addend.shape}]` : ''}`,
      expected: '[..., M, K], [..., K, N] and [..., M, N]',
      remedy: 'transpose or reshape an operand',
    });
  if (into && (dtype !== 'f32' || into.dtype !== 'f32' || !into.bindable || into.size !== batch * m * n))
    throw complain({
      where: 'gemm: into',
      got: `${into.dtype} [${into.shape}] with strides [${into.strides}] for a result in ${dtype}`,
      expected: `a dense f32 tensor of ${batch * m * n} elements`,
      remedy: 'leave it out for fresh memory',
    });
  // A kernel thread stores pairs: rows of an odd width would share words.
  const direct = dtype === 'f32' || n % 2 === 0;
  const y = into?.view([batch, m, n]) ?? Tensor.empty(a.device, [batch, m, n], direct ? dtype : 'f32');
  const collects = into !== undefined && addend === into;
  if (y.size > 0)
    splitProduct(
      {
        a: contiguous(a).view([batchOf(a), ...a.shape.slice(-2)]),
        transposeA,
        b: contiguous(b).view([batchOf(b), ...b.shape.slice(-2)]),
        transposeB,
        alpha,
        y,
        addend: addend && !collects ? contiguous(addend).view([batch, m, n]) : null,
        collects,
        column: 0,
        batch,
        m,
        n,
        k,
      },
      path ?? pathFor(a, b),
    );
  return castTo(y, dtype).view(shape);
}

function matrixOf(x: Tensor, transposed: boolean): [number, number] {
  const [rows, columns] = x.shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

function batchOf(x: Tensor): number {
  return sizeOf(x.shape.slice(0, -2));
}

function pathFor(a: Tensor, b: Tensor): GemmPath {
  return a.dtype === 'f16' && b.dtype === 'f16' && usableMatrixShape(a.device.capabilities) ? 'matrix' : 'portable';
}

/** Cuts what exceeds one binding, then launches. */
function splitProduct(product: Product, path: GemmPath): void {
  const { a, b, y, addend, transposeA, transposeB, batch } = product;
  const most = a.device.capabilities.maxBindingBytes - 16;
  const large = (x: Tensor | null) => x !== null && x.bytes > most;
  if (![a, b, y, addend].some(large)) {
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
  if (large(y) || large(addend) || (large(a) && !transposeA)) splitRows(product, path);
  else if (large(b) && transposeB) splitColumns(product, path);
  else splitDepth(product, path);
}

const flat = (x: Tensor) => x.view(x.shape.slice(1));
const batched = (x: Tensor) => x.view([1, ...x.shape]);

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
  if (product.a.dtype !== 'f16' || product.b.dtype !== 'f16' || !usableMatrixShape(product.a.device.capabilities))
    throw complain({
      where: 'gemm: path matrix',
      got: `${product.a.dtype} · ${product.b.dtype} on ${product.a.device.capabilities.name}`,
      expected: 'f16 operands and an adapter with 16×16×16 matrix units',
      remedy: 'leave the path out',
    });
  matrixProduct(product);
}

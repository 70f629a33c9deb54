import { complain } from '../../errors.ts';
import { castTo, contiguous } from '../copy.ts';
import type { DType } from '../dtype.ts';
import { PanelMatrix } from '../panel-matrix.ts';
import { sizeOf } from '../shape.ts';
import { Tensor } from '../tensor.ts';
import { usableMatrixShape } from './matrix.ts';
import type { GemmPath, Product } from './product.ts';
import { batched, exceedsBinding, isLarge, splitProduct } from './split-product.ts';

export type { GemmPath } from './product.ts';

export interface Gemm {
  /** [..., M, K], or [..., K, M] with transposeA; f32 or f16, or a {@link PanelMatrix}. */
  a: Tensor;
  /** [..., K, N], or [..., N, K] with transposeB; f32, f16 or opaque: NF4, or a {@link PanelMatrix}. */
  b: Tensor;
  transposeA?: boolean;
  transposeB?: boolean;
  alpha?: number;
  /** Added to the product; [..., M, N]. It may be `into`, which then collects products. */
  addend?: Tensor;
  /** Where the result goes, f32 of as many elements; fresh memory if left out. */
  into?: Tensor;
  /** A thin pair of operands whose product is added too, unscaled: [M, R] and [R, N], transposed like a and b; for single products. */
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
 * binding are cut. The order of additions depends on the shapes, the path and, on matrix units, on the tiling that is
 * kept for such products (tilings-file.ts): the same machine with the same file gives the same bits, tuning again may
 * change how sums are rounded.
 *
 * @returns [..., M, N] in `dtype`
 * @throws UserError for shapes that do not fit and for a forced path that this adapter or these operands lack
 */
export function gemm(options: Gemm): Tensor {
  const { a, transposeA = false, transposeB = false, alpha = 1, addend, into, rider, dtype } = options;
  const path = options.path ?? pathFor(options);
  return a.device.scope(() => {
    const [m, k] = matrixOf(a, transposeA);
    const [kOfB, n] = matrixOf(options.b, transposeB);
    const batch = Math.max(batchOf(a), batchOf(options.b));
    const lead = batchOf(options.b) > batchOf(a) ? options.b.shape.slice(0, -2) : a.shape.slice(0, -2);
    if (
      k !== kOfB ||
      ![a, options.b].every((x) => batchOf(x) === 1 || batchOf(x) === batch) ||
      (addend && addend.size !== batch * m * n)
    )
      throw complain({
        where: 'gemm',
        got: `a [${a.shape}]${transposeA ? 'ᵀ' : ''}, b [${options.b.shape}]${transposeB ? 'ᵀ' : ''}${addend ? `, addend [${addend.shape}]` : ''}`,
        expected: '[..., M, K], [..., K, N] and [..., M, N]',
        remedy: 'transpose or reshape an operand',
      });
    checkInto(options, batch * m * n);
    checkRider(options, batch, m, n);
    // A kernel thread stores pairs: rows of an odd width would share words.
    const direct = dtype === 'f32' || n % 2 === 0;
    const y = into?.view([batch, m, n]) ?? Tensor.empty(a.device, [batch, m, n], direct ? dtype : 'f32');
    const collects = into !== undefined && addend === into;
    const right = path === 'portable' || batch > 1 ? null : rightPanels(options, [y, addend]);
    const b =
      right ?? contiguous(denseOperand(options.b, a.dtype)).view([batchOf(options.b), ...options.b.shape.slice(-2)]);
    const left = path === 'portable' || batch > 1 ? null : activationPanels(a, [b, y, addend]);
    if (y.size > 0)
      withRider(
        {
          a: left ?? contiguous(a).view([batchOf(a), ...a.shape.slice(-2)]),
          transposeA,
          b,
          transposeB,
          panelsA: left !== null,
          panelsB: right !== null,
          rider: rider ? { a: contiguous(rider.a), b: contiguous(rider.b) } : null,
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
        path,
      );
    return castTo(y, dtype).view([...lead, m, n]);
  });
}

/** A frozen operand as the kernels of a path take it where they do not take its panels. */
function denseOperand(b: Tensor, dtype: DType): Tensor {
  return b.dtype === 'u8' ? b.dense(dtype as 'f32' | 'f16') : b;
}

/** Activations as they lie in panels, which are not cut: null where the product has to be, and for other tensors. */
function activationPanels(x: Tensor, others: readonly (Tensor | undefined)[]): Tensor | null {
  return x instanceof PanelMatrix && !others.some(isLarge) ? x.stored : null;
}

/** b in panels. A frozen weight's cannot be cut along the depth, as a large transposed operand has to be. */
function rightPanels({ a, b, transposeA, transposeB = false }: Gemm, others: readonly (Tensor | undefined)[]) {
  if (!transposeA) return b.panels(transposeB);
  return transposeB ? null : activationPanels(b, [a, ...others]);
}

function checkInto({ into, dtype }: Gemm, size: number): void {
  if (into && (dtype !== 'f32' || into.dtype !== 'f32' || !into.bindable || into.size !== size))
    throw complain({
      where: 'gemm: into',
      got: `${into.dtype} [${into.shape}] with strides [${into.strides}] for a result in ${dtype}`,
      expected: `a dense f32 tensor of ${size} elements`,
      remedy: 'leave it out for fresh memory',
    });
}

function checkRider(
  { a, rider, transposeA = false, transposeB = false }: Gemm,
  batch: number,
  m: number,
  n: number,
): void {
  if (!rider) return;
  const [rows, depth] = matrixOf(rider.a, transposeA);
  const [depthOfB, columns] = matrixOf(rider.b, transposeB);
  const flat = batch === 1 && rider.a.shape.length === 2 && rider.b.shape.length === 2;
  const dtypes = [rider.a.dtype, rider.b.dtype];
  if (!flat || rows !== m || columns !== n || depth !== depthOfB || dtypes.some((dtype) => dtype !== a.dtype))
    throw complain({
      where: 'gemm: rider',
      got: `${dtypes[0]} [${rider.a.shape}]${transposeA ? 'ᵀ' : ''} and ${dtypes[1]} [${rider.b.shape}]${transposeB ? 'ᵀ' : ''} for ${batch} products in ${a.dtype}`,
      expected: `[${m}, R] and [R, ${n}] in ${a.dtype} for one product`,
      remedy: 'reshape or convert the rider, or multiply it by itself and pass the result as addend',
    });
}

/** The rider goes along in the kernel for matrix units where that can; elsewhere it is a product of its own before. */
function withRider(product: Product, path: GemmPath): void {
  const { rider, a, transposeA, alpha, y, addend, collects } = product;
  const goesAlong = path !== 'portable' && !transposeA && alpha === 1;
  if (!rider || (goesAlong && !exceedsBinding(product))) {
    splitProduct(product, path);
    return;
  }
  const first = Tensor.empty(a.device, y.shape);
  const alone = { ...product, rider: null, collects: false };
  const [, depth] = matrixOf(rider.a, transposeA);
  const thin = {
    ...alone,
    a: batched(rider.a),
    b: batched(rider.b),
    panelsA: false,
    panelsB: false,
    k: depth,
    alpha: 1,
  };
  splitProduct({ ...thin, y: first, addend: collects ? y : addend }, path);
  splitProduct({ ...alone, addend: first }, path);
}

function matrixOf(x: Tensor, transposed: boolean): [number, number] {
  const [rows, columns] = x.shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

function batchOf(x: Tensor): number {
  return sizeOf(x.shape.slice(0, -2));
}

/** Quantised operands become what the other is. */
function pathFor({ a, b }: Gemm): GemmPath {
  const halves = a.dtype === 'f16' && (b.dtype === 'f16' || b.dtype === 'u8');
  return halves && usableMatrixShape(a.device.capabilities) ? 'matrix' : 'portable';
}

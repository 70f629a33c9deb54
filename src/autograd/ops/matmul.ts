import { complain } from '../../errors.ts';
import { gemm } from '../../tensor/gemm/gemm.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDtypes } from '../checks.ts';
import { operation } from '../operation.ts';
import { type Reference, referenceOf } from '../reference.ts';

export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
  /** Factor of the product. */
  alpha?: number;
}

/** alpha · op(a) · op(b), batched over equal leading dimensions. */
export const matmulOperation = operation<MatmulOptions>({
  name: 'matmul',
  cheap: false,

  check([a, b], { transposeA, transposeB }) {
    checkDtypes('matmul', [a, b], ['f32', 'f16']);
    const inner = [a.shape.at(transposeA ? -2 : -1), b.shape.at(transposeB ? -1 : -2)];
    const lead = [a, b].map((x) => x.shape.slice(0, -2).join());
    if (a.dtype !== b.dtype || a.shape.length < 2 || inner[0] !== inner[1] || lead[0] !== lead[1])
      throw complain({
        where: 'matmul',
        got: `${a.dtype} [${a.shape}]${transposeA ? 'ᵀ' : ''} and ${b.dtype} [${b.shape}]${transposeB ? 'ᵀ' : ''}`,
        expected: 'one dtype, [..., M, K] and [..., K, N] with equal leading dimensions',
        remedy: 'cast, transpose or reshape an operand',
      });
  },

  forward: ([a, b], options) => ({ output: gemm({ a, b, ...options, dtype: a.dtype as 'f32' | 'f16' }) }),

  keeps: (needs) => ({ inputs: [...(needs[1] ? [0] : []), ...(needs[0] ? [1] : [])] }),

  backward({ grad, inputs: [a, b], attributes: { transposeA = false, transposeB = false, alpha = 1 }, needs }) {
    const dtype = grad.dtype as 'f32' | 'f16';
    const product = (x: Tensor, transposeX: boolean, y: Tensor, transposeY: boolean) =>
      gemm({ a: x, b: y, transposeA: transposeX, transposeB: transposeY, alpha, dtype });
    const da = () => (transposeA ? product(b, transposeB, grad, true) : product(grad, false, b, !transposeB));
    const db = () => (transposeB ? product(grad, true, a, transposeA) : product(a, !transposeA, grad, false));
    return [needs[0] ? da() : null, needs[1] ? db() : null];
  },

  reference([a, b], { transposeA = false, transposeB = false, alpha = 1 }) {
    const at = (x: Reference, transposed: boolean, batch: number, i: number, j: number) => {
      const [rows, columns] = x.shape.slice(-2);
      return x.data[batch * rows * columns + (transposed ? j * columns + i : i * columns + j)];
    };
    const m = a.shape.at(transposeA ? -1 : -2) as number;
    const k = a.shape.at(transposeA ? -2 : -1) as number;
    const n = b.shape.at(transposeB ? -2 : -1) as number;
    return referenceOf([...a.shape.slice(0, -2), m, n], (index) => {
      const [batch, i, j] = [Math.floor(index / (m * n)), Math.floor(index / n) % m, index % n];
      let sum = 0;
      for (let q = 0; q < k; q++) sum += at(a, transposeA, batch, i, q) * at(b, transposeB, batch, q, j);
      return alpha * sum;
    });
  },
});

/**
 * Matrix product of the last two dimensions; sums in f32.
 *
 * @param a [..., M, K], or [..., K, M] with transposeA
 * @param b [..., K, N], or [..., N, K] with transposeB; leading dimensions as in a
 * @returns [..., M, N] in the operands' dtype
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  return apply(matmulOperation, [a, b], options);
}

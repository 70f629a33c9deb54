import { castTo } from '../../tensor/copy.ts';
import { gemm } from '../../tensor/gemm/gemm.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';
import { apply } from '../tape.ts';
import { operand, rowsOf } from './linear.ts';

type Float = 'f32' | 'f16';

export interface LowRankLinearOptions {
  /** Factor of B·A. */
  scale: number;
  /** Dtype of the result; that of x if left out. */
  dtype?: Float;
}

/** scale · x · Aᵀ, [rows, r] */
const lowOf = (x: Tensor, down: Tensor, scale: number) => {
  const compute = x.dtype as Float;
  return gemm({ a: rowsOf(x), b: operand(down, compute), transposeB: true, alpha: scale, dtype: compute });
};

/**
 * y = residual + x · Wᵀ + h · Bᵀ with h = scale · x · Aᵀ: a weight [out, in], dense or quantised, and a change of it of
 * low rank, in the pass over y that the weight's own product makes. Inputs: x, W, A [r, in], B [out, r] and perhaps
 * residual.
 */
export const lowRankLinearOperation = operation<LowRankLinearOptions>({
  name: 'lowRankLinear',
  cheap: false,

  check([x, weight, down, up, residual]) {
    checkDtypes('lowRankLinear', [x, down, up, ...(residual ? [residual] : [])], ['f32', 'f16']);
    const sizes = checkShape('lowRankLinear', 'weight', weight.shape, ['out', 'in']);
    checkShape('lowRankLinear', 'A', down.shape, ['r', 'in'], sizes);
    checkShape('lowRankLinear', 'B', up.shape, ['out', 'r'], sizes);
    const lead = x.shape.slice(0, -1);
    checkShape('lowRankLinear', 'x', x.shape, [...lead, 'in'], sizes);
    if (residual) checkShape('lowRankLinear', 'residual', residual.shape, [...lead, 'out'], sizes);
  },

  forward([x, weight, down, up, residual], { scale, dtype = x.dtype as Float }, needs) {
    const compute = x.dtype as Float;
    const h = lowOf(x, down, scale);
    const y = gemm({
      a: rowsOf(x),
      b: operand(weight, compute),
      transposeB: true,
      rider: { a: h, b: operand(up, compute) },
      addend: residual && rowsOf(residual),
      dtype,
    });
    // h is kept rather than made again: it has r/in of the size of x, and making it reads all of x.
    return { output: y.view([...x.shape.slice(0, -1), weight.shape[0]]), saved: needs[3] ? [h] : [] };
  },

  saves: ([x, , down], { scale }, needs) => (needs[3] ? [lowOf(x, down, scale)] : []),

  keeps: ([x, weight, down]) => ({
    inputs: [...(weight || down ? [0] : []), ...(x ? [1, 2] : []), ...(x || down ? [3] : [])],
  }),

  backward({ grad, inputs: [x, weight, down, up], saved: [h], attributes: { scale }, needs, collected }) {
    const compute = x.dtype as Float;
    // A gradient in f32 for f16 operands is rounded, so that all products run on matrix units.
    const dy = rowsOf(castTo(grad, compute));
    const dh = needs[0] || needs[2] ? gemm({ a: dy, b: operand(up, compute), alpha: scale, dtype: compute }) : null;
    const inputGradient = (thin: Tensor) =>
      gemm({
        a: dy,
        b: operand(weight, compute),
        rider: { a: thin, b: operand(down, compute) },
        ...collected[0],
      }).view(x.shape);
    const outer = (i: number, a: Tensor, b: Tensor) => gemm({ a, b, transposeA: true, ...collected[i] });
    return [
      needs[0] && dh ? inputGradient(dh) : null,
      needs[1] ? outer(1, dy, rowsOf(x)) : null,
      needs[2] && dh ? outer(2, dh, rowsOf(x)) : null,
      needs[3] ? outer(3, dy, h) : null,
      needs[4] ? grad : null,
    ];
  },

  collects: [0, 1, 2, 3],

  reference([x, weight, down, up, residual], { scale }) {
    const [out, width] = weight.shape;
    const [r] = down.shape;
    const rows = x.data.length / width;
    const dot = (a: Float64Array, i: number, b: Float64Array, j: number, length: number) => {
      let sum = 0;
      for (let k = 0; k < length; k++) sum += a[i * length + k] * b[j * length + k];
      return sum;
    };
    const h = Float64Array.from({ length: rows * r }, (_, i) =>
      dot(x.data, Math.floor(i / r), down.data, i % r, width),
    );
    return referenceOf([...x.shape.slice(0, -1), out], (i) => {
      const [row, column] = [Math.floor(i / out), i % out];
      const own = dot(x.data, row, weight.data, column, width) + scale * dot(h, row, up.data, column, r);
      return own + (residual?.data[i] ?? 0);
    });
  },
});

/**
 * A linear layer whose frozen weight is changed by a product of two thin matrices: residual + x · (W + scale · B·A)ᵀ.
 *
 * @param x [..., in], f32 or f16; products are computed in its dtype, sums in f32
 * @param weight [out, in]; f32, f16 or quantised (see {@link Tensor.dense})
 * @param down A [r, in]
 * @param up B [out, r]
 * @param options.residual [..., out], added without a pass of its own
 * @returns [..., out]
 */
export function lowRankLinear(
  x: Tensor,
  weight: Tensor,
  down: Tensor,
  up: Tensor,
  options: LowRankLinearOptions & { residual?: Tensor },
): Tensor {
  const { residual, scale, dtype } = options;
  const inputs = [x, weight, down, up, ...(residual ? [residual] : [])];
  return apply(lowRankLinearOperation, inputs, { scale, dtype });
}

import { castTo, contiguous } from '../../tensor/copy.ts';
import { gemm } from '../../tensor/gemm/gemm.ts';
import { inPanels, PanelMatrix, panelsSuit } from '../../tensor/panel-matrix.ts';
import { sizeOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';

type Float = 'f32' | 'f16';

export interface LinearOptions {
  /** Factor of the product. */
  scale?: number;
  /** Dtype of the result; that of x if left out. */
  dtype?: Float;
}

/** x as a matrix of its last dimension's rows; one in panels as it is, for products alone. */
export const rowsOf = (x: Tensor) =>
  (x.contiguous || x instanceof PanelMatrix ? x : contiguous(x)).view([
    sizeOf(x.shape.slice(0, -1)),
    x.shape[x.shape.length - 1],
  ]);

/**
 * The gradient of a layer's result as products take it. One in f32 for f16 operands is rounded, so that all products run on
 * matrix units: to panels, if they read these faster.
 */
export function gradientRows(grad: Tensor, compute: Float): Tensor {
  const rows = rowsOf(grad);
  if (grad.dtype !== compute && compute === 'f16' && panelsSuit(grad.device, rows.shape)) return inPanels([rows]);
  return castTo(rows, compute);
}

/** The weight as `gemm` takes it: quantised, or dense in the dtype of the products. */
export const operand = (weight: Tensor, compute: Float) =>
  weight.dtype === 'u8' ? weight : castTo(weight.dense(compute), compute);

/** y = residual + scale · x · Wᵀ with W [out, in], dense or quantised. Inputs: x, W and perhaps residual. */
export const linearOperation = operation<LinearOptions>({
  name: 'linear',
  cheap: false,

  check([x, weight, residual]) {
    checkDtypes('linear', [x, ...(residual ? [residual] : [])], ['f32', 'f16']);
    const sizes = checkShape('linear', 'weight', weight.shape, ['out', 'in']);
    const lead = x.shape.slice(0, -1);
    checkShape('linear', 'x', x.shape, [...lead, 'in'], sizes);
    if (residual) checkShape('linear', 'residual', residual.shape, [...lead, 'out'], sizes);
  },

  forward([x, weight, residual], { scale = 1, dtype = x.dtype as Float }) {
    const y = gemm({
      a: rowsOf(x),
      b: operand(weight, x.dtype as Float),
      transposeB: true,
      alpha: scale,
      addend: residual && rowsOf(residual),
      dtype,
    });
    return { output: y.view([...x.shape.slice(0, -1), weight.shape[0]]) };
  },

  saves: () => [],

  // x serves the weight's gradient alone, its dtype and shape everything else.
  keeps: (needs) => ({ inputs: [...(needs[1] ? [0] : []), ...(needs[0] ? [1] : [])] }),

  backward({ grad, inputs: [x, weight], attributes: { scale = 1 }, needs, collected }) {
    const compute = x.dtype as Float;
    const dy = gradientRows(grad, compute);
    const dx = needs[0]
      ? gemm({ a: dy, b: operand(weight, compute), alpha: scale, ...collected[0] }).view(x.shape)
      : null;
    const dw = needs[1] ? gemm({ a: dy, b: rowsOf(x), transposeA: true, alpha: scale, ...collected[1] }) : null;
    return [dx, dw, needs[2] ? grad : null];
  },

  collects: (input) => input < 2,
  readsPanels: true,

  reference([x, weight, residual], { scale = 1 }) {
    const [out, width] = weight.shape;
    return referenceOf([...x.shape.slice(0, -1), out], (i) => {
      const [row, column] = [Math.floor(i / out), i % out];
      let sum = 0;
      for (let k = 0; k < width; k++) sum += x.data[row * width + k] * weight.data[column * width + k];
      return scale * sum + (residual?.data[i] ?? 0);
    });
  },
});

/**
 * A linear layer without bias: residual + scale · x · weightᵀ.
 *
 * @param x [..., in], f32 or f16; products are computed in its dtype, sums in f32
 * @param weight [out, in]; f32, f16 or quantised (see {@link Tensor.dense})
 * @param options.residual [..., out], added without a pass of its own
 * @returns [..., out]
 */
export function linear(x: Tensor, weight: Tensor, options: LinearOptions & { residual?: Tensor } = {}): Tensor {
  const { residual, scale, dtype } = options;
  return apply(linearOperation, residual ? [x, weight, residual] : [x, weight], { scale, dtype });
}

import { complain } from '../../errors.ts';
import { castTo, contiguous } from '../../tensor/copy.ts';
import { addInto } from '../../tensor/elementwise.ts';
import { PanelMatrix } from '../../tensor/panel-matrix.ts';
import { type NormPath, normalize, normGradients } from '../../tensor/rms-norm.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';

export interface RmsNormOptions {
  eps: number;
  /** Dtype of the result; that of x if left out. */
  dtype?: 'f32' | 'f16';
  /** Makes a result in f16 in panels, for a matrix whose readers are products: see `readPanels` of linear layers. */
  panels?: boolean;
  /** Forced by tests; chosen by width if left out. */
  path?: NormPath;
}

/** Root-mean-square normalisation of the last dimension; inputs x and weight. */
export const rmsNormOperation = operation<RmsNormOptions>({
  name: 'rmsNorm',
  cheap: true,

  check([x, weight], { panels, dtype = x.dtype }) {
    checkDtypes('rmsNorm', [x, weight], ['f32', 'f16']);
    if (panels && dtype !== 'f16')
      throw complain({
        where: 'rmsNorm: panels',
        got: `a result in ${dtype}`,
        expected: 'f16',
        remedy: 'leave panels out',
      });
    checkShape('rmsNorm', 'weight', weight.shape, [x.shape[x.shape.length - 1]]);
  },

  forward(inputs, { eps, path, panels, dtype = inputs[0].dtype as 'f32' | 'f16' }) {
    const [x, weight] = inputs.map(contiguous);
    const output = panels ? PanelMatrix.empty(x.device, x.shape) : Tensor.empty(x.device, x.shape, dtype);
    normalize({ x, weight, eps, path }, output);
    return { output };
  },

  keeps: () => ({ inputs: [0, 1] }),
  collects: (input) => input === 0,

  backward({ grad, inputs, attributes: { eps, path }, needs, collected: [{ addend, into, dtype }] }) {
    const [x, weight] = inputs.map(contiguous);
    // No kernel may bind what it writes as an addend too.
    const dx = needs[0] ? (into && !addend ? into : Tensor.empty(x.device, x.shape, dtype)) : null;
    const forWeight = needs[1];
    const dw = normGradients({ x, weight, eps, path }, { grad, dx, addend: into ? undefined : addend, forWeight });
    if (dx && into && addend) addInto(into, dx);
    return [dx, dw && castTo(dw, weight.dtype)];
  },

  reference([x, weight], { eps }) {
    const width = weight.data.length;
    const y = referenceOf(x.shape);
    for (let start = 0; start < y.data.length; start += width) {
      let squares = 0;
      for (let k = 0; k < width; k++) squares += x.data[start + k] ** 2;
      const rms = Math.sqrt(squares / width + eps);
      for (let k = 0; k < width; k++) y.data[start + k] = (x.data[start + k] / rms) * weight.data[k];
    }
    return y;
  },
});

/**
 * RMSNorm (arXiv:1910.07467): x / √(mean(x²) + eps) · weight, in f32 whatever the dtypes.
 *
 * @param x [..., width], f32 or f16
 * @param weight [width]
 * @returns as x, in `options.dtype`
 */
export function rmsNorm(x: Tensor, weight: Tensor, options: RmsNormOptions): Tensor {
  return apply(rmsNormOperation, [x, weight], options);
}

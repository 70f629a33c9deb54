import { contiguous } from '../../tensor/copy.ts';
import { sumDimension } from '../../tensor/reduce.ts';
import { Tensor } from '../../tensor/tensor.ts';
import { combinations, type KernelVariant } from '../../tensor/variants.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';
import { apply } from '../tape.ts';

const DTYPES = ['f32', 'f16'];
const ENTRIES = {
  row_statistics: ['x', 'statistics'],
  forward: ['x', 'weight', 'statistics', 'y'],
  gradient_statistics: ['x', 'weight', 'grad', 'statistics'],
  input_gradient: ['x', 'weight', 'grad', 'statistics', 'y'],
  weight_gradient: ['x', 'grad', 'statistics', 'partial'],
};

export const variants: KernelVariant[] = Object.entries(ENTRIES).flatMap(([entry, bindings]) =>
  combinations({ X: DTYPES, W: DTYPES, G: DTYPES, Y: DTYPES }).map((defines) => ({
    kernel: 'rms_norm.wgsl',
    entry,
    defines,
    bindings,
  })),
);

/** Rows whose weight gradients one invocation adds up. */
const ROWS_PER_BLOCK = 64;

export interface RmsNormOptions {
  eps: number;
  /** Dtype of the result; that of x if left out. */
  dtype?: 'f32' | 'f16';
}

/** One of the kernels of a norm, over rows of x. */
function launch(
  entry: keyof typeof ENTRIES,
  tensors: Record<string, Tensor>,
  eps: number,
  workgroups: number | [number, number, number],
): void {
  const { x, weight, grad, y } = tensors;
  const width = x.shape[x.shape.length - 1];
  x.device.run({
    kernel: 'rms_norm.wgsl',
    entry,
    defines: { X: x.dtype, W: weight?.dtype ?? 'f32', G: grad?.dtype ?? 'f32', Y: y?.dtype ?? 'f32' },
    bindings: Object.fromEntries(ENTRIES[entry].map((name) => [name, tensors[name]])),
    params: { rows: x.size / width, width, eps, rows_per_block: ROWS_PER_BLOCK },
    workgroups,
  });
}

/** Root-mean-square normalisation of the last dimension; inputs x and weight. */
export const rmsNormOperation = operation<RmsNormOptions>({
  name: 'rmsNorm',
  cheap: true,

  check([x, weight]) {
    checkDtypes('rmsNorm', [x, weight], ['f32', 'f16']);
    checkShape('rmsNorm', 'weight', weight.shape, [x.shape[x.shape.length - 1]]);
  },

  forward(inputs, { eps, dtype = inputs[0].dtype as 'f32' | 'f16' }) {
    const [x, weight] = inputs.map(contiguous);
    const rows = x.size / weight.size;
    const y = Tensor.empty(x.device, x.shape, dtype);
    const statistics = Tensor.empty(x.device, [rows, 2]);
    launch('row_statistics', { x, statistics }, eps, rows);
    launch('forward', { x, weight, statistics, y }, eps, Math.ceil(x.size / 128));
    return { output: y };
  },

  keeps: () => ({ inputs: [0, 1] }),

  backward({ grad, inputs, attributes: { eps }, needs }) {
    const [x, weight] = inputs.map(contiguous);
    const [width, rows] = [weight.size, x.size / weight.size];
    const statistics = Tensor.empty(x.device, [rows, 2]);
    launch('gradient_statistics', { x, weight, grad, statistics }, eps, rows);
    let dx: Tensor | null = null;
    if (needs[0]) {
      dx = Tensor.empty(x.device, x.shape, x.dtype);
      launch('input_gradient', { x, weight, grad, statistics, y: dx }, eps, Math.ceil(x.size / 128));
    }
    let dw: Tensor | null = null;
    if (needs[1]) {
      const blocks = Math.ceil(rows / ROWS_PER_BLOCK);
      const partial = Tensor.empty(x.device, [blocks, width]);
      launch('weight_gradient', { x, grad, statistics, partial }, eps, [Math.ceil(width / 64), blocks, 1]);
      dw = sumDimension(partial, 0, 1, weight.dtype).view([width]);
    }
    return [dx, dw];
  },

  reference([x, weight], { eps }) {
    const width = weight.data.length;
    return referenceOf(x.shape, (i) => {
      const start = i - (i % width);
      let squares = 0;
      for (let k = 0; k < width; k++) squares += x.data[start + k] ** 2;
      return (x.data[i] / Math.sqrt(squares / width + eps)) * weight.data[i % width];
    });
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

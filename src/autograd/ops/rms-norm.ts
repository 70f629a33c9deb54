import { castTo, contiguous } from '../../tensor/copy.ts';
import { addInto } from '../../tensor/elementwise.ts';
import { sharedRowParts } from '../../tensor/parts.ts';
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

/** Tensors as rows of `width`, and two numbers for each row, in parts that fit one binding each. */
function rowsOf(width: number, tensors: readonly Tensor[]): Tensor[][] {
  const statistics = Tensor.empty(tensors[0].device, [tensors[0].size / width, 2]);
  const matrices = tensors.map((x) => x.view([x.size / width, width]));
  return sharedRowParts([statistics, ...matrices]).map(({ rows }) => rows);
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
    const output = Tensor.empty(x.device, x.shape, dtype);
    for (const [statistics, part, y] of rowsOf(weight.size, [x, output])) {
      launch('row_statistics', { x: part, statistics }, eps, part.shape[0]);
      launch('forward', { x: part, weight, statistics, y }, eps, Math.ceil(y.size / 128));
    }
    return { output };
  },

  keeps: () => ({ inputs: [0, 1] }),

  backward({ grad, inputs, attributes: { eps }, needs }) {
    const [x, weight] = inputs.map(contiguous);
    const width = weight.size;
    const dx = needs[0] ? Tensor.empty(x.device, x.shape, x.dtype) : null;
    let dw: Tensor | null = null;
    for (const [statistics, part, slope, y] of rowsOf(width, [x, grad, dx ?? x])) {
      const rows = part.shape[0];
      launch('gradient_statistics', { x: part, weight, grad: slope, statistics }, eps, rows);
      if (dx) launch('input_gradient', { x: part, weight, grad: slope, statistics, y }, eps, Math.ceil(y.size / 128));
      if (!needs[1]) continue;
      const blocks = Math.ceil(rows / ROWS_PER_BLOCK);
      const partial = Tensor.empty(x.device, [blocks, width]);
      launch('weight_gradient', { x: part, grad: slope, statistics, partial }, eps, [Math.ceil(width / 64), blocks, 1]);
      const sums = sumDimension(partial, 0, 1, 'f32').view([width]);
      if (dw) addInto(dw, sums);
      else dw = sums;
    }
    return [dx, dw && castTo(dw, weight.dtype)];
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

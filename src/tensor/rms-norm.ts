import { complain } from '../errors.ts';
import { addInto } from './elementwise.ts';
import { PanelMatrix } from './panel-matrix.ts';
import { sharedRowParts } from './parts.ts';
import { sumDimension } from './reduce.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

/** `rows`: a workgroup a row, for widths that are multiples of 4; `plain`: statistics of rows first, for any width. */
export type NormPath = 'rows' | 'plain';

/** What is normalised: contiguous tensors. */
export interface Norm {
  /** [..., width], f32 or f16. */
  x: Tensor;
  /** [width], f32 or f16. */
  weight: Tensor;
  eps: number;
  /** Forced by tests; chosen by width if left out. */
  path?: NormPath;
}

const KERNELS = { plain: 'rms_norm.wgsl', rows: 'rms_norm_rows.wgsl' };
/** Bindings of the entry points; an addend may be left out. */
const ENTRIES: Record<NormPath, Record<string, readonly string[]>> = {
  plain: {
    row_statistics: ['x', 'statistics'],
    forward: ['x', 'weight', 'statistics', 'y'],
    gradient_statistics: ['x', 'weight', 'grad', 'statistics'],
    input_gradient: ['x', 'weight', 'grad', 'statistics', 'y', 'addend'],
    weight_gradient: ['x', 'grad', 'statistics', 'partial'],
  },
  rows: {
    forward: ['x', 'weight', 'y'],
    backward: ['x', 'weight', 'grad', 'statistics', 'y', 'addend'],
  },
};
/** What is stored as the gradient of x where there is an addend. */
const SUMS = { plain: 'gradient + addend_at(i)', rows: 'gradient + addend_quad(base, c, p.width)' };

const FLOATS = ['f32', 'f16'] as const;

export const variants: KernelVariant[] = (['plain', 'rows'] as const).flatMap((path) =>
  Object.entries(ENTRIES[path]).flatMap(([entry, names]) =>
    combinations({ X: FLOATS, W: FLOATS, G: FLOATS, Y: FLOATS }).flatMap((dtypes) => {
      const defines = { ...dtypes, SUM: 'gradient', ORDER: '' };
      const variant = { kernel: KERNELS[path], entry, defines };
      const bindings = names.filter((name) => name !== 'addend');
      const summed = { ...variant, defines: { ...defines, SUM: SUMS[path] }, bindings: names };
      const panels = { ...variant, defines: { ...defines, ORDER: '_panels' }, bindings };
      return [
        { ...variant, bindings },
        ...(bindings.length < names.length ? [summed] : []),
        ...(path === 'rows' && entry === 'forward' && dtypes.Y === 'f16' ? [panels] : []),
      ];
    }),
  ),
);

/** Rows whose weight gradients one invocation adds up; as in kernels/rms_norm.wgsl. */
const ROWS_PER_BLOCK = 64;

/** Launches an entry point over rows of x; tensors that it does not bind are left out, and y may be in panels. */
function launch(
  path: NormPath,
  entry: string,
  eps: number,
  tensors: Record<string, Tensor | undefined>,
  workgroups: number | [number, number, number],
): void {
  const { x, weight, grad, y, addend } = tensors;
  const [rows, width] = x!.shape;
  const panels = y instanceof PanelMatrix;
  const stored = (tensor: Tensor) => (tensor instanceof PanelMatrix ? tensor.stored : tensor);
  const bound = ENTRIES[path][entry].flatMap((name) => (tensors[name] ? [[name, stored(tensors[name])]] : []));
  x!.device.run({
    kernel: KERNELS[path],
    entry,
    defines: {
      X: x!.dtype,
      W: weight?.dtype ?? 'f32',
      G: grad?.dtype ?? 'f32',
      Y: y?.dtype ?? 'f32',
      SUM: addend ? SUMS[path] : 'gradient',
      ORDER: panels ? '_panels' : '',
    },
    // A power of 4: enough threads to keep a device busy, with some quads each.
    constants: path === 'rows' ? { LANES: width >= 2048 ? 256 : width >= 256 ? 64 : 16 } : {},
    bindings: Object.fromEntries(bound),
    params: { rows, width, eps },
    workgroups,
  });
}

function pathFor({ weight, path }: Norm): NormPath {
  const quads = weight.size % 4 === 0;
  if (path === 'rows' && !quads)
    throw complain({
      where: 'rmsNorm: path rows',
      got: `width ${weight.size}`,
      expected: 'a multiple of 4',
      remedy: 'leave the path out',
    });
  return path ?? (quads ? 'rows' : 'plain');
}

/** Tensors as rows of `width`, and two numbers for each row, in parts that fit one binding each. */
function rowsOf(width: number, tensors: readonly Tensor[]): Tensor[][] {
  const statistics = Tensor.empty(tensors[0].device, [tensors[0].size / width, 2]);
  const matrices = tensors.map((x) => x.view([x.size / width, width]));
  return sharedRowParts([statistics, ...matrices]).map(({ rows }) => rows);
}

/** output = x / rms(x) · weight; it may be a matrix in panels, of an x that can be bound as a whole. */
export function normalize(norm: Norm, output: Tensor): void {
  const { weight, eps } = norm;
  const path = pathFor(norm);
  if (output instanceof PanelMatrix) {
    launch('rows', 'forward', eps, { x: norm.x, weight, y: output }, output.shape[0]);
    return;
  }
  for (const [statistics, x, y] of rowsOf(weight.size, [norm.x, output])) {
    const tensors = { x, weight, statistics, y };
    if (path === 'rows') launch('rows', 'forward', eps, tensors, x.shape[0]);
    else {
      launch('plain', 'row_statistics', eps, tensors, x.shape[0]);
      launch('plain', 'forward', eps, tensors, Math.ceil(x.size / 128));
    }
  }
}

export interface NormGradients {
  /** Gradient of the result. */
  grad: Tensor;
  /** Where the gradient of x goes, if it is wanted. */
  dx: Tensor | null;
  /** Added to the gradient of x; of dx's dtype. */
  addend?: Tensor;
  /** Whether the weight's gradient is wanted. */
  forWeight: boolean;
}

/** @returns the gradient of the weight, in f32, if it is wanted */
export function normGradients(norm: Norm, { grad, dx, addend, forWeight }: NormGradients): Tensor | null {
  const { weight, eps } = norm;
  const path = pathFor(norm);
  let total: Tensor | null = null;
  const parts = rowsOf(weight.size, [norm.x, grad, dx ?? norm.x, addend ?? norm.x]);
  for (const [statistics, x, slope, y, added] of parts) {
    const tensors = { x, weight, grad: slope, statistics, y, addend: addend && added };
    if (dx && path === 'rows') launch('rows', 'backward', eps, tensors, x.shape[0]);
    else {
      launch('plain', 'gradient_statistics', eps, tensors, x.shape[0]);
      if (dx) launch('plain', 'input_gradient', eps, tensors, Math.ceil(x.size / 128));
    }
    if (!forWeight) continue;
    const sums = weightGradient(tensors, eps);
    if (total) addInto(total, sums);
    else total = sums;
  }
  return total;
}

/** Gradient of the weight over some rows, [width]. */
function weightGradient(tensors: { x: Tensor; grad: Tensor; statistics: Tensor }, eps: number): Tensor {
  const [rows, width] = tensors.x.shape;
  const blocks = Math.ceil(rows / ROWS_PER_BLOCK);
  const partial = Tensor.empty(tensors.x.device, [blocks, width]);
  launch('plain', 'weight_gradient', eps, { ...tensors, partial }, [Math.ceil(width / 64), blocks, 1]);
  return sumDimension(partial, 0, 1, 'f32').view([width]);
}

import { complain } from '../errors.ts';
import { castTo, contiguous, four } from './copy.ts';
import { BYTES, type DType } from './dtype.ts';
import { packGroups, packQuads } from './packs.ts';
import { flatParts } from './parts.ts';
import { broadcastShapes, sameShape, sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

const FLOATS: readonly DType[] = ['f32', 'f16'];

/** Expressions that launchers of src/tensor use; those of operations are listed with the operations. */
export const variants: KernelVariant[] = [
  ...expressionVariants('unary', 'a * alpha'),
  ...expressionVariants('dense', 'a + b'),
  ...expressionVariants('binary', 'a + b'),
  ...FLOATS.map((X) => ({ kernel: 'accumulate.wgsl', defines: { X, QUADS: 1 }, bindings: ['x', 'y'] })),
];

/** The variants of an expression in every dtype. */
export function expressionVariants(kind: 'unary' | 'dense' | 'binary', expression: string): KernelVariant[] {
  return combinations({ A: FLOATS, B: kind === 'unary' ? ['f32'] : FLOATS, Y: FLOATS }).map(({ A, B, Y }) => {
    if (kind === 'unary') return { ...denseKernel(expression, A, null, Y), bindings: ['a', 'y'] };
    const choice = kind === 'dense' ? denseKernel(expression, A, B, Y) : binaryKernel(expression, A, B, Y);
    return { ...choice, bindings: ['a', 'b', 'y'] };
  });
}

/** The kernel for contiguous operands of one shape; with `b` null for one operand. */
function denseKernel(expression: string, a: DType, b: DType | null, y: DType) {
  const QUADS = packQuads(a, b ?? a, y);
  return {
    kernel: 'elementwise_dense.wgsl',
    entry: b ? 'dense' : 'unary',
    defines: { A: a, B: b ?? a, Y: y, EXPR: expression, QUADS },
  };
}

function binaryKernel(expression: string, a: DType, b: DType, y: DType) {
  return {
    kernel: 'elementwise.wgsl',
    defines: { A: a, B: b, Y: y, EXPR: expression },
  };
}

/**
 * Launches a unary expression over WGSL variables `a` and `alpha`, computed in f32.
 *
 * @returns a tensor of x's shape in `dtype`
 */
export function mapUnary(expression: string, x: Tensor, alpha = 0, dtype: DType = x.dtype): Tensor {
  const y = Tensor.empty(x.device, x.shape, dtype);
  const choice = denseKernel(expression, x.dtype, null, dtype);
  for (const [a, out] of flatParts([contiguous(x), y]))
    x.device.run({
      ...choice,
      bindings: { a, y: out },
      params: { count: out.size, alpha },
      workgroups: packGroups(out.size, choice.defines.QUADS),
    });
  return y;
}

/**
 * Launches an expression over WGSL variables `a`, `b` and `alpha` with NumPy broadcasting, computed in f32.
 *
 * @returns a tensor of the broadcast shape in `dtype`
 * @throws UserError when the shapes do not broadcast or have more than four dimensions
 */
export function mapBinary(
  name: string,
  expression: string,
  a: Tensor,
  b: Tensor,
  alpha = 0,
  dtype: DType = a.dtype,
): Tensor {
  const shape = broadcastShapes(name, a.shape, b.shape);
  // Ranges of rows can start in the middle of a word of f16: results that have to be cut are made in f32.
  const cut = sizeOf(shape) * BYTES[dtype] > a.device.capabilities.maxBindingBytes - 16;
  if (cut && BYTES[dtype] < 4 && !sameShape(a.shape, b.shape))
    return castTo(mapBinary(name, expression, a, b, alpha, 'f32'), dtype);
  const y = Tensor.empty(a.device, shape, dtype);
  if (sameShape(a.shape, b.shape)) {
    const choice = denseKernel(expression, a.dtype, b.dtype, dtype);
    for (const [x, z, out] of flatParts([contiguous(a), contiguous(b), y]))
      a.device.run({
        ...choice,
        bindings: { a: x, b: z, y: out },
        params: { count: out.size, alpha },
        workgroups: packGroups(out.size, choice.defines.QUADS),
      });
    return y;
  }
  if (shape.length > 4)
    throw complain({
      where: name,
      got: `shapes [${a.shape}] and [${b.shape}]`,
      expected: 'at most four dimensions when broadcasting',
      remedy: 'merge dimensions with view()',
    });
  broadcast(contiguous(a), contiguous(b), y, (x, z, out) =>
    a.device.run({
      ...binaryKernel(expression, a.dtype, b.dtype, dtype),
      bindings: { a: x, b: z, y: out },
      params: {
        shape: four(out.shape, 1),
        a_strides: four(x.expand(out.shape).strides, 0),
        b_strides: four(z.expand(out.shape).strides, 0),
        count: out.size,
        alpha,
      },
      workgroups: Math.ceil(out.size / 128),
    }),
  );
  return y;
}

/** Calls `launch` with operands and result, or with ranges of their first dimensions where one binding is too small. */
function broadcast(a: Tensor, b: Tensor, y: Tensor, launch: (a: Tensor, b: Tensor, y: Tensor) => void): void {
  const { maxBindingBytes, bindingAlignment } = y.device.capabilities;
  const most = maxBindingBytes - 16;
  if (Math.max(a.bytes, b.bytes, y.bytes) <= most) {
    y.device.scope(() => {
      const out = y.bindable ? y : Tensor.empty(y.device, y.shape, y.dtype);
      launch(contiguous(a), contiguous(b), out);
      if (out !== y) y.device.copy(out, y);
    });
    return;
  }
  if (a.size === 1 || b.size === 1) {
    const flat = (x: Tensor) => contiguous(x).view([x.size]);
    const parts = flatParts([y, ...[a, b].filter((x) => x.size > 1).map(flat)]);
    for (const [out, x] of parts) launch(a.size === 1 ? flat(a) : x, b.size === 1 ? flat(b) : x, out);
    return;
  }
  const [rows, ...rest] = y.shape;
  const padded = (x: Tensor) => x.view([...new Array<number>(y.shape.length - x.shape.length).fill(1), ...x.shape]);
  const [x, z] = [padded(a), padded(b)];
  if (rows === 1) {
    broadcast(x.view(x.shape.slice(1)), z.view(z.shape.slice(1)), y.view(rest), launch);
    return;
  }
  // Rows in multiples of the unit start at aligned bytes whatever their width.
  const unit = bindingAlignment;
  const rowBytes = Math.max(...[x, z, y].map((t) => (t.shape[0] === 1 ? 0 : t.bytes / rows)));
  const fit = Math.floor(most / rowBytes);
  const step = fit >= unit ? Math.floor(fit / unit) * unit : 1;
  for (let at = 0; at < rows; at += step) {
    const cut = (t: Tensor) => (t.shape[0] === 1 ? t : t.slice(0, at, Math.min(at + step, rows)));
    broadcast(cut(x), cut(z), cut(y), launch);
  }
}

/** target += x, in place: for gradients that collect over micro-batches. Shapes must be equal. */
export function addInto(target: Tensor, x: Tensor): void {
  for (const [into, from] of flatParts([target, contiguous(x)]))
    target.device.run({
      kernel: 'accumulate.wgsl',
      defines: { X: x.dtype, QUADS: 1 },
      bindings: { x: from, y: into },
      params: { count: into.size },
      workgroups: packGroups(into.size, 1),
    });
}

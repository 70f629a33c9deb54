import { complain } from '../errors.ts';
import { contiguous, four } from './copy.ts';
import type { DType } from './dtype.ts';
import { flatParts } from './parts.ts';
import { broadcastShapes, sameShape } from './shape.ts';
import { Tensor } from './tensor.ts';

/**
 * Launches a unary expression over WGSL variables `a` and `alpha`, computed in f32.
 *
 * @returns a tensor of x's shape in `dtype`
 */
export function mapUnary(expression: string, x: Tensor, alpha = 0, dtype: DType = x.dtype): Tensor {
  const y = Tensor.empty(x.device, x.shape, dtype);
  for (const [a, out] of flatParts([contiguous(x), y]))
    x.device.run({
      kernel: 'elementwise.wgsl',
      entry: 'unary',
      defines: { A: x.dtype, B: 'f32', Y: dtype, EXPR: expression },
      bindings: { a, y: out },
      params: { shape: [1, 1, 1, 1], a_strides: [0, 0, 0, 0], b_strides: [0, 0, 0, 0], count: out.size, alpha },
      workgroups: Math.ceil(out.size / 128),
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
  const y = Tensor.empty(a.device, shape, dtype);
  const defines = { A: a.dtype, B: b.dtype, Y: dtype, EXPR: expression };
  if (sameShape(a.shape, b.shape)) {
    for (const [x, z, out] of flatParts([contiguous(a), contiguous(b), y]))
      a.device.run({
        kernel: 'elementwise.wgsl',
        entry: 'dense',
        defines,
        bindings: { a: x, b: z, y: out },
        params: { shape: [1, 1, 1, 1], a_strides: [0, 0, 0, 0], b_strides: [0, 0, 0, 0], count: out.size, alpha },
        workgroups: Math.ceil(out.size / 128),
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
  const [x, z] = [contiguous(a), contiguous(b)];
  a.device.run({
    kernel: 'elementwise.wgsl',
    entry: 'binary',
    defines,
    bindings: { a: x, b: z, y },
    params: {
      shape: four(shape, 1),
      a_strides: four(x.expand(shape).strides, 0),
      b_strides: four(z.expand(shape).strides, 0),
      count: y.size,
      alpha,
    },
    workgroups: Math.ceil(y.size / 128),
  });
  return y;
}

/** target += x, in place: for gradients that collect over micro-batches. Shapes must be equal. */
export function addInto(target: Tensor, x: Tensor): void {
  for (const [into, from] of flatParts([target, contiguous(x)]))
    target.device.run({
      kernel: 'accumulate.wgsl',
      defines: { X: x.dtype },
      bindings: { x: from, y: into },
      params: { count: into.size },
      workgroups: Math.ceil(into.size / 64),
    });
}

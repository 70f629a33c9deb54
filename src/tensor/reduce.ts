import { contiguous } from './copy.ts';
import type { DType } from './dtype.ts';
import { sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';

/** Lanes that share a sum in entry `rows` of reduce.wgsl. */
const LANES = 64;

/**
 * Sums a tensor over one dimension (kept with size 1), times `scale`, accumulated in f32.
 *
 * The order of additions depends on the shape alone: the same input gives the same bits.
 */
export function sumDimension(x: Tensor, dim: number, scale = 1, dtype: DType = x.dtype): Tensor {
  const outer = sizeOf(x.shape.slice(0, dim));
  const inner = sizeOf(x.shape.slice(dim + 1));
  const middle = x.shape[dim];
  const y = Tensor.empty(
    x.device,
    x.shape.map((n, d) => (d === dim ? 1 : n)),
    dtype,
  );
  const outputs = outer * inner;
  const entry = middle >= LANES && outputs < 4096 ? 'rows' : 'columns';
  x.device.run({
    kernel: 'reduce.wgsl',
    entry,
    defines: { X: x.dtype, Y: dtype },
    bindings: { x: contiguous(x), y },
    params: { outer, middle, inner, scale },
    workgroups: Math.ceil(outputs / (entry === 'rows' ? 2 : 2 * LANES)),
  });
  return y;
}

/** Sums all elements times `scale` to shape [1] in f32, in two passes so that many lanes work. */
export function sumAll(x: Tensor, scale = 1): Tensor {
  const flat = contiguous(x);
  const width = 4096;
  if (x.size <= width) return sumDimension(flat.view([x.size]), 0, scale, 'f32');
  const whole = Math.floor(x.size / width) * width;
  const head = sumDimension(
    flat
      .view([x.size])
      .slice(0, 0, whole)
      .view([whole / width, width]),
    1,
    1,
    'f32',
  );
  if (whole === x.size) return sumAll(head, scale);
  const tail = sumDimension(contiguous(flat.view([x.size]).slice(0, whole, x.size)), 0, 1, 'f32');
  const both = Tensor.empty(x.device, [whole / width + 1]);
  x.device.copy(head, both);
  x.device.copy(tail, both.slice(0, whole / width, whole / width + 1));
  return sumAll(both, scale);
}

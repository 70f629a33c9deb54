import { castTo, contiguous } from './copy.ts';
import type { DType } from './dtype.ts';
import { addInto, mapUnary } from './elementwise.ts';
import { sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

/** Lanes that share a sum in entry `rows` of reduce.wgsl. */
const LANES = 64;

export const variants: KernelVariant[] = ['rows', 'columns'].flatMap((entry) =>
  combinations({ X: ['f32', 'f16', 'i32', 'u32', 'u8'], Y: ['f32', 'f16'] }).map((defines) => ({
    kernel: 'reduce.wgsl',
    entry,
    defines,
    bindings: ['x', 'y'],
  })),
);

/**
 * Sums a tensor over one dimension (kept with size 1), times `scale`, accumulated in f32.
 *
 * The order of additions depends on the shape (and on what one binding holds) alone: the same input gives the
 * same bits. Long sums go in blocks, so that the rounding error grows with the root of their length at most.
 */
export function sumDimension(x: Tensor, dim: number, scale = 1, dtype: DType = x.dtype): Tensor {
  const outer = sizeOf(x.shape.slice(0, dim));
  const inner = sizeOf(x.shape.slice(dim + 1));
  const shape = x.shape.map((n, d) => (d === dim ? 1 : n));
  return x.device.scope(() =>
    castTo(sumMiddle(contiguous(x).view([outer, x.shape[dim], inner]), scale, dtype), dtype).view(shape),
  );
}

/** Sums [outer, middle, inner] to `outer · inner` elements, in `dtype` or, where the work has to be split, f32. */
function sumMiddle(x: Tensor, scale: number, dtype: DType): Tensor {
  const [outer, middle, inner] = x.shape;
  const most = x.device.capabilities.maxBindingBytes - 16;
  const bytes = x.bytes / Math.max(1, x.size);
  if (x.bytes <= most && outer * inner * 4 <= most) return launch(x, scale, dtype);
  if (outer > 1) {
    const step = Math.max(1, Math.floor(most / (middle * inner * bytes)));
    const total = Tensor.empty(x.device, [outer * inner]);
    for (let at = 0; at < outer; at += step) {
      const end = Math.min(at + step, outer);
      const part = sumMiddle(contiguous(x.slice(0, at, end)), scale, 'f32');
      x.device.copy(part, total.slice(0, at * inner, end * inner));
    }
    return total;
  }
  const step = Math.max(1, Math.floor(most / (inner * 4)));
  const total = Tensor.zeros(x.device, [inner]);
  for (let at = 0; at < middle; at += step) {
    const part = contiguous(x.slice(1, at, Math.min(at + step, middle)));
    addInto(total, part.shape[1] === 1 ? part.view([inner]) : launch(part, 1, 'f32'));
  }
  return scale === 1 ? total : mapUnary('a * alpha', total, scale);
}

function launch(x: Tensor, scale: number, dtype: DType): Tensor {
  const [outer, middle, inner] = x.shape;
  const outputs = outer * inner;
  const y = Tensor.empty(x.device, [outputs], dtype);
  const entry = middle >= LANES && outputs < 4096 ? 'rows' : 'columns';
  x.device.run({
    kernel: 'reduce.wgsl',
    entry,
    defines: { X: x.dtype, Y: dtype },
    bindings: { x, y },
    params: { outer, middle, inner, scale },
    workgroups: Math.ceil(outputs / (entry === 'rows' ? 2 : 2 * LANES)),
  });
  return y;
}

/** Sums all elements times `scale` to shape [1] in f32, in passes over rows of 4096 so that many lanes work. */
export function sumAll(x: Tensor, scale = 1): Tensor {
  const width = 4096;
  return x.device.scope(() => {
    const flat = contiguous(x).view([x.size]);
    if (x.size <= width) return sumDimension(flat, 0, scale, 'f32');
    const rows = Math.floor(x.size / width);
    const whole = rows * width;
    const head = sumDimension(flat.slice(0, 0, whole).view([rows, width]), 1, 1, 'f32').view([rows]);
    if (whole === x.size) return sumAll(head, scale);
    const both = Tensor.empty(x.device, [rows + 1]);
    x.device.copy(head, both.slice(0, 0, rows));
    x.device.copy(sumDimension(flat.slice(0, whole, x.size), 0, 1, 'f32'), both.slice(0, rows, rows + 1));
    return sumAll(both, scale);
  });
}

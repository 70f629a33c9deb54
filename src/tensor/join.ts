import { contiguous } from './copy.ts';
import { flatParts, windowOf } from './parts.ts';
import { sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

const FLOATS = ['f32', 'f16'];

export const variants: KernelVariant[] = [
  ...combinations({ A: FLOATS, B: FLOATS, Y: FLOATS }).map((defines) => ({
    kernel: 'join.wgsl',
    entry: 'concat',
    defines,
    bindings: ['a', 'b', 'y'],
  })),
  ...FLOATS.map((dtype) => ({
    kernel: 'join.wgsl',
    entry: 'pad',
    defines: { A: dtype, B: dtype, Y: dtype },
    bindings: ['a', 'y'],
  })),
  { kernel: 'join_packs.wgsl', bindings: ['x', 'y'] },
];

/** Matrices that lie one after the other in memory as one; null for others. */
export function adjoined(matrices: readonly Tensor[]): Tensor | null {
  const [first] = matrices;
  let { offset } = first;
  for (const { storage, dtype, contiguous: dense, offset: start, size } of matrices) {
    if (storage !== first.storage || dtype !== first.dtype || !dense || start !== offset) return null;
    offset += size;
  }
  const rows = matrices.reduce((sum, { shape }) => sum + shape[0], 0);
  return new Tensor(first.device, first.storage, first.dtype, [rows, first.shape[1]], { offset: first.offset });
}

/** Tensors one after the other along a dimension; sizes of the others must agree, f32 if the dtypes differ. */
export function concatenate(tensors: readonly Tensor[], dim: number): Tensor {
  if (tensors.length === 1) return tensors[0];
  const wide = dim === 1 ? sideBySide(tensors) : null;
  if (wide) return wide;
  // Halves of the list, so that an element is copied log2(tensors) times and no kernel needs more than two sources.
  const middle = tensors.length >> 1;
  return concatPair(concatenate(tensors.slice(0, middle), dim), concatenate(tensors.slice(middle), dim), dim);
}

/** Matrices of f16 whose rows are whole eights wide, side by side in one pass over each; null for others. */
function sideBySide(matrices: readonly Tensor[]): Tensor | null {
  const [{ device, shape }] = matrices;
  const suits = ({ dtype, shape }: Tensor) => dtype === 'f16' && shape.length === 2 && shape[1] % 8 === 0;
  const width = matrices.reduce((sum, matrix) => sum + matrix.shape[1], 0);
  if (!matrices.every(suits) || 2 * shape[0] * width > device.capabilities.maxBindingBytes - 16) return null;
  const y = Tensor.empty(device, [shape[0], width], 'f16');
  let start = 0;
  for (const matrix of matrices) {
    const eights = matrix.shape[1] / 8;
    if (eights === 0) continue;
    const across = Math.min(128, 2 ** Math.ceil(Math.log2(eights)));
    const groups = Math.ceil(eights / across);
    device.run({
      kernel: 'join_packs.wgsl',
      bindings: { x: contiguous(matrix), y },
      params: { rows: shape[0], width: eights, row: width / 8, start, across, groups },
      workgroups: Math.ceil((shape[0] * across) / 128) * groups,
    });
    start += eights;
  }
  return y;
}

function concatPair(a: Tensor, b: Tensor, dim: number): Tensor {
  const middle = a.shape[dim] + b.shape[dim];
  const dtype = a.dtype === b.dtype ? a.dtype : 'f32';
  const y = Tensor.empty(a.device, a.shape.toSpliced(dim, 1, middle), dtype);
  join('concat', y, dim, { a: { source: contiguous(a), row: 0 }, b: { source: contiguous(b), row: a.shape[dim] } });
  return y;
}

/** `a` at rows `before …` of a dimension that has `middle` rows in the result, zeros elsewhere. */
export function padDimension(a: Tensor, dim: number, before: number, middle: number): Tensor {
  const y = Tensor.empty(a.device, a.shape.toSpliced(dim, 1, middle), a.dtype);
  join('pad', y, dim, { a: { source: contiguous(a), row: before } });
  return y;
}

/** A tensor and its first row in the result. */
interface Placed {
  source: Tensor;
  row: number;
}

/** Launches a kernel for every part of y that fits one binding, with the elements of a and b that belong there. */
function join(entry: 'concat' | 'pad', y: Tensor, dim: number, { a, b }: { a: Placed; b?: Placed }): void {
  if (y.size === 0) return;
  const middle = y.shape[dim];
  const inner = sizeOf(y.shape.slice(dim + 1));
  // How many elements of a source lie before element i of y: they keep their order.
  const before = ({ source, row }: Placed, i: number) => {
    const size = source.shape[dim] * inner;
    const outer = Math.floor(i / (middle * inner));
    return outer * size + Math.max(0, Math.min(size, i - (outer * middle + row) * inner));
  };
  let first = 0;
  for (const [out] of flatParts([y])) {
    const end = first + out.size;
    const windowFor = (placed: Placed) => windowOf(placed.source, before(placed, first), before(placed, end));
    const [from, other] = [windowFor(a), b && windowFor(b)];
    y.device.run({
      kernel: 'join.wgsl',
      entry,
      defines: { A: a.source.dtype, B: (b ?? a).source.dtype, Y: y.dtype },
      bindings: { a: from.elements, ...(other && { b: other.elements }), y: out },
      params: {
        middle,
        a_middle: a.source.shape[dim],
        before: a.row,
        inner,
        count: out.size,
        first,
        a_first: from.first,
        b_first: other?.first ?? 0,
      },
      workgroups: Math.ceil(out.size / 128),
    });
    first = end;
  }
}

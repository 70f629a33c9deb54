import { castTo, contiguous } from './copy.ts';
import type { DType } from './dtype.ts';
import type { Indices } from './indices.ts';
import { packGroups, packQuads } from './packs.ts';
import { flatParts, rowParts } from './parts.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

const FLOATS: readonly DType[] = ['f32', 'f16'];

export const variants: KernelVariant[] = [
  ...combinations({ X: FLOATS, Y: FLOATS }).map((defines) => ({
    kernel: 'gather.wgsl',
    entry: 'gather',
    defines,
    bindings: ['x', 'y', 'ids'],
  })),
  ...combinations({ X: FLOATS, Y: FLOATS }).map(({ X, Y }) => ({
    kernel: 'gather_packs.wgsl',
    defines: { X, Y, QUADS: packQuads(X, Y) },
    bindings: ['x', 'y', 'ids'],
  })),
  ...FLOATS.flatMap((X) => [
    { kernel: 'gather.wgsl', entry: 'gather_part', defines: { X, Y: 'f32' }, bindings: ['x', 'total', 'ids'] },
    {
      kernel: 'gather.wgsl',
      entry: 'add_rows',
      defines: { X, Y: 'f32' },
      bindings: ['x', 'total', 'ids', 'positions', 'starts'],
    },
  ]),
];

/**
 * Rows of a matrix [R, W] by number.
 *
 * @param ids numbers from 0 to R − 1; negative ones give rows of zeros
 * @returns [ids.length, W] in `dtype`
 */
export function gatherRows(matrix: Tensor, ids: Indices, dtype: DType = matrix.dtype): Tensor {
  const { device } = matrix;
  const width = matrix.shape[1];
  const shape = [ids.length, width];
  return device.scope(() => {
    const parts = rowParts(contiguous(matrix));
    if (parts.length === 1) return gatherWhole(parts[0].rows, ids, Tensor.empty(device, shape, dtype));
    // Two rows that share a word of f16 may lie in different parts: parts are collected in f32.
    const total = Tensor.zeros(device, shape);
    let first = 0;
    for (const [out] of flatParts([total])) {
      for (const { row, rows } of parts)
        device.run({
          kernel: 'gather.wgsl',
          entry: 'gather_part',
          defines: { X: matrix.dtype, Y: 'f32' },
          bindings: { x: rows, total: out, ids: ids.tensor },
          params: { ...NONE, width, count: out.size, first, x_begin: row, x_end: row + rows.shape[0] },
          workgroups: Math.ceil(out.size / 64),
        });
      first += out.size;
    }
    return castTo(total, dtype);
  });
}

/** {@link gatherRows} of a matrix that fits one binding, into `y`. */
function gatherWhole(matrix: Tensor, ids: Indices, y: Tensor): Tensor {
  const width = matrix.shape[1];
  const QUADS = packQuads(matrix.dtype, y.dtype);
  const defines = { X: matrix.dtype, Y: y.dtype };
  const pack = 4 * QUADS;
  let first = 0;
  for (const [out] of flatParts([y])) {
    const bindings = { x: matrix, y: out, ids: ids.tensor };
    if (width % pack === 0)
      y.device.run({
        kernel: 'gather_packs.wgsl',
        defines: { ...defines, QUADS },
        bindings,
        params: { row: width / pack, count: out.size, first: first / pack },
        workgroups: packGroups(out.size, QUADS),
      });
    else
      y.device.run({
        kernel: 'gather.wgsl',
        entry: 'gather',
        defines,
        bindings,
        params: { ...NONE, width, count: out.size, first },
        workgroups: Math.ceil(out.size / 128),
      });
    first += out.size;
  }
  return y;
}

const NONE = { width: 0, count: 0, first: 0, x_begin: 0, x_end: 0, row_begin: 0, id_begin: 0 };

/**
 * Sums of rows by number: row r of the result is the sum of the rows i of `x` [N, W] with ids[i] = r, added in the
 * order of i; zeros where there is none.
 *
 * @returns [count, W] in f32
 */
export function addRows(x: Tensor, ids: Indices, count: number): Tensor {
  const { device } = x;
  const width = x.shape[1];
  const positions = Uint32Array.from({ length: ids.length }, (_, i) => i).sort(
    (a, b) => ids.host[a] - ids.host[b] || a - b,
  );
  const starts: number[] = [];
  const distinct: number[] = [];
  for (const [k, position] of positions.entries()) {
    if (k > 0 && ids.host[position] === distinct.at(-1)) continue;
    distinct.push(ids.host[position]);
    starts.push(k);
  }
  return device.scope(() => {
    const total = Tensor.zeros(device, [count, width]);
    if (distinct.length === 0) return total;
    const lists = {
      ids: Tensor.from(device, distinct, [distinct.length], 'i32'),
      positions: Tensor.from(device, positions, [positions.length], 'u32'),
      starts: Tensor.from(device, [...starts, positions.length], [starts.length + 1], 'u32'),
    };
    let from = 0;
    for (const { row, rows } of rowParts(total)) {
      let to = from;
      while (to < distinct.length && distinct[to] < row + rows.shape[0]) to++;
      const size = (to - from) * width;
      for (const { row: x_begin, rows: bound } of rowParts(contiguous(x)))
        device.run({
          kernel: 'gather.wgsl',
          entry: 'add_rows',
          defines: { X: x.dtype, Y: 'f32' },
          bindings: { x: bound, total: rows, ...lists },
          params: {
            ...NONE,
            width,
            count: size,
            x_begin,
            x_end: x_begin + bound.shape[0],
            row_begin: row,
            id_begin: from,
          },
          workgroups: Math.ceil(size / 64),
        });
      from = to;
    }
    return total;
  });
}

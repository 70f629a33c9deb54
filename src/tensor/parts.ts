import { complain } from '../errors.ts';
import { BYTES } from './dtype.ts';
import type { Tensor } from './tensor.ts';

/**
 * Cuts contiguous tensors of equal size into ranges of elements that fit one binding each.
 *
 * @param multiple power of two that ranges but the last are multiples of, for kernels that work in blocks
 * @returns for each range the same range of every tensor, flat
 */
export function flatParts(tensors: readonly Tensor[], multiple = 1): Tensor[][] {
  const { maxBindingBytes, bindingAlignment } = tensors[0].device.capabilities;
  const widest = Math.max(...tensors.map((t) => BYTES[t.dtype]));
  const size = tensors[0].size;
  const unit = Math.max(bindingAlignment * 4, multiple);
  const step = Math.max(unit, Math.floor((maxBindingBytes - 16) / widest / unit) * unit);
  if (size <= step) return [tensors.map((t) => t.view([size]))];
  const parts: Tensor[][] = [];
  for (let at = 0; at < size; at += step)
    parts.push(tensors.map((t) => t.view([size]).slice(0, at, Math.min(at + step, size))));
  return parts;
}

/**
 * Cuts a contiguous matrix into row ranges that fit one binding and start at an aligned byte.
 *
 * @returns pairs of first row and the rows
 */
export function rowParts(matrix: Tensor): { row: number; rows: Tensor }[] {
  const { maxBindingBytes, bindingAlignment } = matrix.device.capabilities;
  const [count, ...rest] = matrix.shape;
  const rowBytes = (matrix.bytes / Math.max(1, count)) | 0;
  if (matrix.bytes <= maxBindingBytes - 16 || rest.length === 0) return [{ row: 0, rows: matrix }];
  // Rows in multiples of this begin at an aligned byte whatever their width, in f16 and wider types.
  const unit = bindingAlignment / BYTES.f16;
  const step = Math.floor((maxBindingBytes - 16) / rowBytes / unit) * unit;
  if (step === 0)
    throw complain({
      where: 'rowParts',
      got: `rows of ${rowBytes} bytes`,
      expected: `${unit} of them in a binding of ${maxBindingBytes} bytes`,
      remedy: 'use narrower matrices on this adapter',
    });
  const parts = [];
  for (let row = 0; row < count; row += step)
    parts.push({ row, rows: matrix.slice(0, row, Math.min(row + step, count)) });
  return parts;
}

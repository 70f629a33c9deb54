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
  // Less than fits by an alignment, which windowOf() may add to a range of as many elements.
  const step = Math.max(unit, Math.floor((maxBindingBytes - 16 - bindingAlignment) / widest / unit) * unit);
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
  const [count] = matrix.shape;
  const rowBytes = matrix.bytes / Math.max(1, count);
  if (matrix.bytes <= maxBindingBytes - 16) return [{ row: 0, rows: matrix }];
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

/** {@link rowParts} of contiguous tensors with as many rows: the same ranges of rows of all of them. */
export function sharedRowParts(tensors: readonly Tensor[]): { row: number; rows: Tensor[] }[] {
  const largest = tensors.reduce((most, t) => (t.bytes > most.bytes ? t : most));
  return rowParts(largest).map(({ row, rows }) => ({
    row,
    rows: tensors.map((t) => t.slice(0, row, row + rows.shape[0])),
  }));
}

/** The elements begin … end − 1 of a contiguous tensor, flat, from the aligned element `first` ≤ begin on. */
export function windowOf(x: Tensor, begin: number, end: number): { first: number; elements: Tensor } {
  const unit = x.device.capabilities.bindingAlignment / BYTES[x.dtype];
  // An empty range may lie at the end of the storage, where nothing can be bound.
  const first = begin < end ? Math.floor(begin / unit) * unit : 0;
  return { first, elements: x.view([x.size]).slice(0, first, begin < end ? end : 0) };
}

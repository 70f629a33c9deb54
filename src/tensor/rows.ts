import { complain } from '../errors.ts';
import { contiguous } from './copy.ts';
import type { Indices } from './indices.ts';
import { rowParts, sharedRowParts } from './parts.ts';
import type { Tensor } from './tensor.ts';
import type { KernelVariant } from './variants.ts';

/** Kernel variants of this file. */
export const variants: KernelVariant[] = [{ kernel: 'rows.wgsl', entry: 'scatter', bindings: ['x', 'row_of', 'y'] }];

/**
 * target[rows[i]] = x[i] for whole rows, in place; rows must differ.
 *
 * @throws UserError when a row is not a whole number of 32-bit words (an odd count of f16)
 */
export function scatterRows(x: Tensor, rows: Indices, target: Tensor): void {
  const bytes = x.bytes / x.shape[0];
  if (bytes % 4 !== 0)
    throw complain({
      where: 'scatterRows',
      got: `rows of ${bytes} bytes`,
      expected: 'a multiple of 4 bytes',
      remedy: 'use f32 or an even row size',
    });
  const words = bytes / 4;
  for (const { row: y_begin, rows: y } of rowParts(target))
    for (const { row, rows: part } of sharedRowParts([contiguous(x), rows.tensor])) {
      const [from, row_of] = part;
      const [count, y_end] = [from.shape[0], y_begin + y.shape[0]];
      if (!rows.host.subarray(row, row + count).some((at) => at >= y_begin && at < y_end)) continue;
      x.device.run({
        kernel: 'rows.wgsl',
        entry: 'scatter',
        bindings: { x: from, row_of, y },
        params: { rows: count, words, y_begin, y_end },
        workgroups: Math.ceil((count * words) / 64),
      });
    }
}

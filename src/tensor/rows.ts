import { complain } from '../errors.ts';
import { contiguous } from './copy.ts';
import type { Indices } from './indices.ts';
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
  x.device.run({
    kernel: 'rows.wgsl',
    entry: 'scatter',
    bindings: { x: contiguous(x), row_of: rows.tensor, y: target },
    params: { rows: rows.length, words },
    workgroups: Math.ceil((rows.length * words) / 64),
  });
}

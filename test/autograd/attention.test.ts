import { describe, test } from 'vitest';
import { AttentionRanges } from '../../src/autograd/attention-ranges.ts';
import { attentionOperation } from '../../src/autograd/ops/attention.ts';
import { checkOp } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();

describe.each(['f32', 'f16'] as const)('%s', (dtype) => {
  // Lengths around the blocks of 32, one-token and empty documents, grouped heads, a width that is no power of two.
  test.each([
    [[1], 1, 1, 16],
    [[7, 1, 0, 5], 4, 2, 16],
    [[31, 2], 2, 1, 20],
    [[33, 32], 2, 2, 16],
  ])('packed documents of %j tokens, %i heads over %i, width %i', async (lengths, heads, groups, width) => {
    const count = lengths.reduce((sum, length) => sum + length, 0);
    const ranges = AttentionRanges.packed(device, lengths);
    await checkOp(attentionOperation, {
      device,
      inputs: [heads, groups, groups].map((n) => ({ shape: [count, n, width], dtype })),
      attributes: { ranges, scale: 1 / Math.sqrt(width) },
      probes: 8,
    });
    ranges.table.dispose();
  });
});

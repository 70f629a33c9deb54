import { expect, test } from 'vitest';
import { passes } from '../src/reference/report.ts';
import { runReference } from '../src/reference/run.ts';
import { testDevice } from './support/device.ts';

test('every comparison with PyTorch, PEFT and bitsandbytes is within its bound', async () => {
  const device = await testDevice();
  const before = device.memory.live;
  const { comparisons } = await runReference(device, 'test/reference', () => {});
  expect(comparisons.filter((comparison) => !passes(comparison))).toEqual([]);
  // Two precisions of nine sets with every gradient, twelve steps in three modes, NF4 and AdamW.
  expect(comparisons.length).toBeGreaterThan(700);
  expect(device.memory.live).toBe(before);
});

test('a directory without the data fails, set by set', async () => {
  const device = await testDevice();
  const { comparisons, failed } = await runReference(device, 'test/support', () => {});
  expect(failed).toBe(comparisons.length);
  expect(failed).toBeGreaterThan(10);
});

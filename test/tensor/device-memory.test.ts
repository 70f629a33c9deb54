import { expect, test } from 'vitest';
import { deviceMemory, freeMemory, parseNvidia } from '../../src/tensor/device-memory.ts';
import { testDevice } from '../support/device.ts';

test("what nvidia-smi prints, a line a card, in MiB; cards that don't tell are left out", () => {
  expect(parseNvidia('81559, 80994\n')).toEqual([{ total: 81559 * 2 ** 20, free: 80994 * 2 ** 20 }]);
  expect(parseNvidia('100, 50\n[N/A], [N/A]\n200, 20\n')).toEqual([
    { total: 100 * 2 ** 20, free: 50 * 2 ** 20 },
    { total: 200 * 2 ** 20, free: 20 * 2 ** 20 },
  ]);
  expect(parseNvidia('')).toEqual([]);
});

test('a software driver has the memory of the host', async () => {
  const capabilities = { ...(await testDevice()).capabilities, software: true };
  const [{ total, free }] = deviceMemory(capabilities) ?? [];
  expect(free).toBeGreaterThan(0);
  expect(free).toBeLessThanOrEqual(total);
  expect(freeMemory(capabilities)).toBeGreaterThan(0);
});

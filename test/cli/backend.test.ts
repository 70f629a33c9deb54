import { afterEach, expect, test, vi } from 'vitest';
import { Device } from '../../src/tensor/device.ts';
import { command } from '../support/command.ts';

afterEach(() => vi.unstubAllEnvs());

/** A backend that this system has not. */
const ABSENT = process.platform === 'win32' ? 'metal' : 'd3d12';

test.each<[string, RegExp]>([
  [
    ABSENT,
    new RegExp(
      `^error: device: got no GPU adapter from Dawn for DAWNTUNE_BACKEND=${ABSENT}, .*; unset DAWNTUNE_BACKEND`,
    ),
  ],
  ['null', /^error: DAWNTUNE_BACKEND: got null, expected vulkan, metal, d3d12; correct the environment variable/],
  ['cuda', /^error: DAWNTUNE_BACKEND: got cuda, expected/],
])('DAWNTUNE_BACKEND=%s is refused by its name', async (backend, message) => {
  vi.stubEnv('DAWNTUNE_BACKEND', backend);
  const { code, out, err } = await command('doctor');
  expect([code, out, err.length]).toEqual([1, '', 1]);
  expect(err[0]).toMatch(message);
});

test('the option of a device goes before the variable', async () => {
  vi.stubEnv('DAWNTUNE_BACKEND', ABSENT);
  (await Device.open({ backend: 'null' })).close();
});

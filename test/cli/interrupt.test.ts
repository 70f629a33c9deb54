import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../support/model-files.ts';

/** Starts the program itself. */
function program(...args: string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'train.ts', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let err = '';
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const ended = new Promise<{ code: number | null; err: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, err })),
  );
  return { child, ended };
}

// Windows knows no signals that a program could answer.
describe.skipIf(process.platform === 'win32')('a signal in the middle of writing', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s leaves what was there and nothing else', async (signal, expected) => {
    const out = temporaryDirectory();
    const merged = path.join(out, 'merged');
    mkdirSync(merged);
    writeFileSync(path.join(merged, 'model.safetensors'), 'old');
    const { child, ended } = program('export', '--out', out, '--merged', 'float32');
    const staging = path.join(merged, 'writing.part', 'model.safetensors.part');
    const watch = setInterval(() => {
      if (!existsSync(staging)) return;
      clearInterval(watch);
      child.kill(signal);
    }, 1);
    const { code, err } = await ended;
    clearInterval(watch);
    expect(err).toContain(`error: interrupted by ${signal} while writing; the incomplete files are removed\n`);
    expect(code).toBe(expected);
    expect(readdirSync(out)).toEqual(['merged']);
    expect(readdirSync(merged)).toEqual(['model.safetensors']);
    expect(readFileSync(path.join(merged, 'model.safetensors'), 'utf8')).toBe('old');
  });
});

test('a reader that goes away is no defect', async () => {
  const { child, ended } = program('train', '--help');
  child.stdout.destroy();
  const { err } = await ended;
  expect(err).not.toMatch(/ at |defect/);
});

test('the program itself reports a wrong flag in one line', async () => {
  const { ended } = program('--r', '0');
  expect(await ended).toEqual({
    code: 1,
    err: 'error: --r: got 0, expected a whole number from 1 to 8192; correct r\n',
  });
});

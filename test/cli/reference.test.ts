import { cpSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { Report } from '../../src/reference/report.ts';
import { command } from '../support/command.ts';
import { temporaryDirectory } from '../support/model-files.ts';

test.each(['/nowhere', 'package.json'])('no directory at %s is one line', async (place) => {
  const { code, out, err } = await command('reference', place);
  expect([code, out]).toEqual([1, '']);
  expect(err).toEqual([
    `error: ${place}: got no such directory, expected a directory laid out like test/reference; correct the path, or leave it out for test/reference`,
  ]);
});

test('sets that are missing are said to be, without numbers', async () => {
  const dir = temporaryDirectory();
  cpSync('test/reference/nf4.safetensors', path.join(dir, 'nf4.safetensors'));
  const { code, out } = await command('reference', dir);
  expect(code).toBe(1);
  const failed = out.split('\n').filter((line) => line.startsWith('FAIL'));
  expect(failed).toHaveLength(19);
  expect(failed).toContain(`FAIL greedy: ${dir}/greedy.json: missing; name a directory that has it`);
  expect(out).not.toContain('NaN');
  expect(out).toMatch(/^ok {3}nf4 /m);
});

test('so are tensors, and each counts as failed', () => {
  const lines: string[] = [];
  const report = new Report((line) => lines.push(line));
  report.missing('packed f32 grad.w');
  report.maxError('packed f32 logits', [1], [1, 2], 0.1);
  report.maxError('packed f32 loss', [1], [1], 0.1);
  expect(lines[0]).toBe('FAIL packed f32 grad.w: missing');
  expect(lines.map((line) => line.slice(0, 4))).toEqual(['FAIL', 'FAIL', 'ok  ']);
  expect(report.failed).toBe(2);
});

import { execFileSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readJsonFile } from '../../src/files/json.ts';
import { temporaryDirectory } from '../support/model-files.ts';

test('a byte order mark is skipped', () => {
  const file = path.join(temporaryDirectory(), 'marked.json');
  writeFileSync(file, '\ufeff{"a": 1}');
  expect(readJsonFile(file, 'mend it')).toEqual({ a: 1 });
});

test.skipIf(process.platform === 'win32')('what may never end is not read', () => {
  const directory = temporaryDirectory();
  const pipe = path.join(directory, 'pipe.json');
  execFileSync('mkfifo', [pipe]);
  const link = path.join(directory, 'zero.json');
  symlinkSync('/dev/zero', link);
  for (const file of [pipe, link]) expect(() => readJsonFile(file, 'mend it')).toThrow('is no regular file; mend it');
});

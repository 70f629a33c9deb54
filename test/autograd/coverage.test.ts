import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const OPS = 'src/autograd/ops';
const TESTS = 'test/autograd';

const sources = (dir: string, ending: string) =>
  readdirSync(dir)
    .filter((file) => file.endsWith(ending))
    .map((file) => readFileSync(path.join(dir, file), 'utf8'));

/** Names of exported operations, and of exported tables of operations, which end alike. */
const operations = sources(OPS, '.ts').flatMap((text) =>
  [...text.matchAll(/^export const (\w+Operations?)\b/gm)].map(([, name]) => name),
);
const tests = sources(TESTS, '.test.ts').filter((text) => /\bcheckOp\(/.test(text));

test('every definition of an operation is exported under a name that this test looks for', () => {
  expect(operations.length).toBeGreaterThan(15);
  for (const text of sources(OPS, '.ts'))
    for (const [line] of text.matchAll(/^export const .*= operation\b.*$/gm))
      expect(line).toMatch(/^export const \w+Operation\b/);
});

test.each(operations)('%s is held against its reference by checkOp', (name) => {
  // Directly, or as an element of a list that the file goes through.
  const direct = new RegExp(`\\bcheckOp\\(\\s*${name}\\b`);
  const listed = new RegExp(`(?:\\[|,|:)\\s*${name}\\s*(?:,|\\])`);
  const covered = tests.some((text) => {
    const body = text.replace(/^import[\s\S]*?from '[^']*';$/gm, '');
    return direct.test(body) || (/\bcheckOp\(op\b/.test(body) && listed.test(body));
  });
  expect(covered, `${name} in a file of ${TESTS}`).toBe(true);
});

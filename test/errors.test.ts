import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { complain, explained, UserError } from '../src/errors.ts';

test('a message is one line without control characters, whatever a file holds', () => {
  const { message } = new UserError('a\r\n b\u001b[31m\u0000\u2028c');
  expect(message).toBe('a b\\x1b[31m\\x00 c');
});

test('a long value is cut', () => {
  const { message } = complain({ where: 'w', got: 'x'.repeat(5000), expected: 'y', remedy: 'z' });
  expect(message).toBe(`w: got ${'x'.repeat(200)}… (5000 characters), expected y; z`);
});

test("the system's refusals become lines with place and remedy, defects stay what they are", () => {
  const refusal = (() => {
    try {
      return readFileSync('/nowhere/at/all');
    } catch (error) {
      return error;
    }
  })();
  expect(explained(refusal)).toBeInstanceOf(UserError);
  expect((explained(refusal) as Error).message).toBe(
    '/nowhere/at/all: does not exist (ENOENT on open); check the path',
  );
  expect((explained(refusal, 'here') as Error).message).toMatch(/^here: does not exist/);
  for (const defect of [new TypeError('x'), Object.assign(new Error('x'), { code: 'ERR_X' }), 'text'])
    expect(explained(defect)).toBe(defect);
});

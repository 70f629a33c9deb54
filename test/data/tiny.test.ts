import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const lines = (file: string) =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const heldOut: { question: string; answer: string }[] = lines('data/tiny/heldout.jsonl');
const train: { question: string; answer: string }[] = lines('data/tiny/train.jsonl').map(({ conversations }) => ({
  question: conversations[0].value,
  answer: conversations[1].value,
}));

/** The two numbers of a question about numbers. */
function numbersOf(question: string): [number, number] | null {
  const match = /^Is (\S+) (?:larger|bigger|greater) than (\S+)\?$/.exec(question);
  return match && [Number(match[1]), Number(match[2])];
}

const keyOf = (pair: readonly number[]) => [...pair].sort((x, y) => x - y).join(' ');

test('every answer about numbers is right', () => {
  for (const { question, answer } of [...heldOut, ...train]) {
    const pair = numbersOf(question);
    if (!pair) continue;
    const [a, b] = pair;
    expect(answer, question).toMatch(a > b ? /\. Yes, \S+ is larger than/ : /\. No, \S+ is smaller than/);
    // The digits before it: all but the last pair equal, the last one in the order of the numbers.
    const digits = [...answer.split('. ')[0].matchAll(/(\d) ([<=>]) (\d)/g)].map(([, x, sign, y]) => [x, sign, y]);
    for (const [x, sign, y] of digits.slice(0, -1)) expect([x, sign], question).toEqual([y, '=']);
    const [x, sign, y] = digits[digits.length - 1];
    expect(sign, question).toBe(Number(x) > Number(y) ? '>' : '<');
    expect(sign === '>', question).toBe(a > b);
  }
});

test('no pair of the held-out questions, nor that of the demonstration, is trained on', () => {
  const seen = new Set<string>();
  for (const { question } of train) {
    const pair = numbersOf(question);
    if (pair) seen.add(keyOf(pair));
  }
  expect(seen.size).toBeGreaterThan(500);
  expect(heldOut.length).toBe(200);
  for (const { question } of heldOut) expect(seen.has(keyOf(numbersOf(question)!)), question).toBe(false);
  expect(seen.has(keyOf([9.11, 9.9]))).toBe(false);
});

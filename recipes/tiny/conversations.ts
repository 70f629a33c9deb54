import type { Random } from '../../src/data/random.ts';
import { compare, type Decimal, decimal, digitByDigit, randomPair } from './decimal.ts';

/** Words that a question may use. */
const LARGER = ['larger', 'bigger', 'greater'] as const;

/** Whether a is larger than b. */
export interface Question {
  a: string;
  b: string;
  word: (typeof LARGER)[number];
}

export function questionText({ a, b, word }: Question): string {
  return `Is ${a} ${word} than ${b}?`;
}

/** The right answer: the digits one by one, the verdict, and the relation in full. */
export function answerText({ a, b }: Question): string {
  const [left, right] = [decimal(a), decimal(b)];
  const larger = compare(left, right) > 0;
  const verdict = `${larger ? 'Yes' : 'No'}, ${a} is ${larger ? 'larger' : 'smaller'} than ${b}.`;
  return `${digitByDigit(left, right)}. ${verdict}`;
}

export function randomQuestion(random: Random, options?: { heldOut: boolean }): Question {
  const [a, b]: [Decimal, Decimal] = randomPair(random, options);
  return { a: a.text, b: b.text, word: random.pick(LARGER) };
}

/** Small talk, so that the model learns the format and not one question alone. */
export const SMALL_TALK: readonly (readonly [string, string])[] = [
  ['Hello!', 'Hello! How can I help you?'],
  ['How are you?', 'I am fine, thank you.'],
  ['What day comes after Monday?', 'The day after Monday is Tuesday.'],
  ['What day comes after Friday?', 'The day after Friday is Saturday.'],
  ['What month comes after May?', 'The month after May is June.'],
  ['Who are you?', 'I am a small model.'],
  ['Thank you!', 'You are welcome.'],
];

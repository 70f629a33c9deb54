import type { Random } from '../../src/data/random.ts';
import { compare, type Decimal, decimal, digitByDigit, randomPair } from './decimal.ts';

/** Words of a question and what it asks for. */
const QUESTIONS = [
  { ask: 'larger', upward: true },
  { ask: 'bigger', upward: true },
  { ask: 'greater', upward: true },
  { ask: 'smaller', upward: false },
  { ask: 'less', upward: false },
] as const;

/** A question about two numbers. */
export interface Question {
  a: string;
  b: string;
  word: string;
  upward: boolean;
}

export function questionText({ a, b, word }: Question): string {
  return `Is ${a} ${word} than ${b}?`;
}

/** The right answer: the digits one by one, the verdict, and the relation in full. */
export function answerText({ a, b, upward }: Question): string {
  const [left, right] = [decimal(a), decimal(b)];
  const larger = compare(left, right) > 0;
  const verdict = `${larger === upward ? 'Yes' : 'No'}, ${a} is ${larger ? 'larger' : 'smaller'} than ${b}.`;
  return `${digitByDigit(left, right)}. ${verdict}`;
}

export function randomQuestion(random: Random, options?: { heldOut: boolean }): Question {
  const [a, b]: [Decimal, Decimal] = randomPair(random, options);
  const { ask, upward } = random.pick(QUESTIONS);
  return { a: a.text, b: b.text, word: ask, upward };
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

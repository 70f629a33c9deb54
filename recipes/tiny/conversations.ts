import type { Random } from '../../src/data/random.ts';
import { compare, type Decimal, decimal, randomPair } from './decimal.ts';

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

/** The right answer: the verdict and the relation in full. */
export function answerText({ a, b, upward }: Question): string {
  const larger = compare(decimal(a), decimal(b)) > 0;
  return `${larger === upward ? 'Yes' : 'No'}, ${a} is ${larger ? 'larger' : 'smaller'} than ${b}.`;
}

export function randomQuestion(random: Random): Question {
  const [a, b]: [Decimal, Decimal] = randomPair(random);
  const { ask, upward } = random.pick(QUESTIONS);
  return { a: a.text, b: b.text, word: ask, upward };
}

/** Numbers of a question in either order: what training and held-out questions must not share. */
export function pairKey({ a, b }: Question): string {
  return [decimal(a).thousandths, decimal(b).thousandths].sort((x, y) => x - y).join(' ');
}

/** The question that the demonstration asks. */
export const DEMO_QUESTION: Question = { a: '9.11', b: '9.9', word: 'larger', upward: true };

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

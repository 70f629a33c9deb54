import type { Random } from '../../src/data/random.ts';
import { compare, type Decimal, digitByDigit, randomDecimal, randomPair, signOf } from './decimal.ts';

const LARGER = ['larger', 'bigger', 'greater', 'higher', 'more'];
const SMALLER = ['smaller', 'less', 'lower'];
const COLOURS = ['red', 'blue', 'green', 'yellow', 'white', 'black', 'brown', 'grey'];
const THINGS = ['house', 'car', 'tree', 'book', 'door', 'boat', 'chair', 'bird', 'hat', 'river'];
const NAMES = ['Anna', 'Ben', 'Carla', 'David', 'Eva', 'Tom', 'Mia', 'Paul'];
const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const NUMBERS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

type Maker = (random: Random) => string;

const sign = (a: Decimal, b: Decimal) => signOf(compare(a, b));

/** Marks text that nothing before it foretells, such as the numbers of a question: it is read, but not a target. */
const GIVEN = { from: '\u0002', to: '\u0003' };
const given = ({ text }: Decimal) => `${GIVEN.from}${text}${GIVEN.to}`;

/**
 * Statements about two numbers; every one is true. Most name both numbers and compare them digit by digit before they
 * say what follows: a small model cannot know it any earlier.
 */
const comparisons: readonly Maker[] = [
  (random) => withPair(random, (a, b, digits) => `compare ${given(a)} ${given(b)}: ${digits}`),
  (random) =>
    withPair(random, (a, b, digits) => `${given(a)} and ${given(b)}: ${digits}, so ${a.text} ${sign(a, b)} ${b.text}`),
  (random) =>
    withPair(
      random,
      (a, b, digits) => `${given(a)} and ${given(b)}: ${digits}, ${compare(a, b) > 0 ? 'larger' : 'smaller'}`,
    ),
  (random) =>
    withPair(
      random,
      (a, b, digits) => `max of ${given(a)} and ${given(b)}: ${digits}, max ${compare(a, b) > 0 ? a.text : b.text}`,
    ),
  (random) =>
    withPair(
      random,
      (a, b, digits) => `min of ${given(a)} and ${given(b)}: ${digits}, min ${compare(a, b) < 0 ? a.text : b.text}`,
    ),
  (random) =>
    withPair(random, (a, b) => `${given(a)} is ${random.pick(compare(a, b) > 0 ? LARGER : SMALLER)} than ${given(b)}.`),
  (random) =>
    claim(random, (a, word, b, truth, digits) => `${a} is ${word} than ${b}: ${digits}, ${truth ? 'true' : 'false'}`),
  (random) => {
    const { statement, digits, truth } = yesOrNo(random);
    return `${statement} ${digits}, ${truth ? 'yes' : 'no'}`;
  },
];

/** Statements about one number or several. */
const numbers: readonly Maker[] = [
  (random) => {
    const value = randomDecimal(random);
    return `${given(value)} = ${padded(value)}, ${value.text}`;
  },
  (random) => {
    const start = random.below(90);
    return `counting: ${Array.from({ length: 6 }, (_, i) => start + i).join(' ')}`;
  },
  (random) => {
    const n = random.below(11);
    return random.uniform() < 0.5 ? `${NUMBERS[n]} is ${n}` : `${n} is called ${NUMBERS[n]}`;
  },
];

/** Plain English. */
const english: readonly Maker[] = [
  (random) => `The ${random.pick(THINGS)} is ${random.pick(COLOURS)}.`,
  (random) =>
    `${random.pick(NAMES)} has a ${random.pick(COLOURS)} ${random.pick(THINGS)} and ${random.pick(NAMES)} has a ${random.pick(COLOURS)} ${random.pick(THINGS)}.`,
  (random) => after(random, DAYS, 'day'),
  (random) => after(random, MONTHS, 'month'),
  (random) => `${random.pick(NAMES)} said hello to ${random.pick(NAMES)}.`,
  (random) => `Hello, my name is ${random.pick(NAMES)}. How are you? I am fine, thank you.`,
  (random) => `The first letter of ${spelled(random)}`,
];

function withPair(random: Random, say: (a: Decimal, b: Decimal, digits: string) => string): string {
  const [a, b] = randomPair(random);
  return say(a, b, digitByDigit(a, b));
}

/** That a number is larger than another; never that it is smaller: a model of this size does not learn to reverse. */
function claim(
  random: Random,
  say: (a: string, word: string, b: string, truth: boolean, digits: string) => string,
): string {
  const word = random.pick(LARGER);
  return withPair(random, (a, b, digits) => say(given(a), word, given(b), compare(a, b) > 0, digits));
}

/** A question about two numbers, how they compare digit by digit, and what that makes the answer. */
export function yesOrNo(random: Random): { statement: string; digits: string; truth: boolean } {
  let [digits, truth] = ['', false];
  const statement = claim(random, (a, word, b, known, steps) => {
    [digits, truth] = [steps, known];
    return `is ${a} ${word} than ${b}?`;
  });
  return { statement, digits, truth };
}

function padded({ text }: Decimal): string {
  const [integer, fraction] = text.split('.');
  return `${integer}.${fraction.padEnd(2, '0')}`;
}

function after(random: Random, list: readonly string[], unit: string): string {
  const i = random.below(list.length);
  return `The ${unit} after ${list[i]} is ${list[(i + 1) % list.length]}.`;
}

function spelled(random: Random): string {
  const word = random.pick([...THINGS, ...COLOURS]);
  return `${word} is ${word[0]} and the last is ${word[word.length - 1]}.`;
}

/** Some statements under a heading: the one place where the base model sees the chat format's markers. */
function section(random: Random): string {
  const [title, makers] = random.pick([
    ['numbers', numbers],
    ['comparisons', comparisons],
    ['sentences', english],
  ] as const);
  const lines = Array.from({ length: 1 + random.below(3) }, () => random.pick(makers)(random));
  return `<|im_start|>${title}\n${lines.join('\n')}<|im_end|>\n`;
}

/** A stretch of a document, and whether the model is to learn to write it. */
export interface Piece {
  text: string;
  target: boolean;
}

export const textOf = (pieces: readonly Piece[]) => pieces.map(({ text }) => text).join('');

/** Cuts a text at the marks of {@link given}. */
export function piecesOf(marked: string): Piece[] {
  return marked
    .split(new RegExp(`[${GIVEN.from}${GIVEN.to}]`))
    .map((text, i) => ({ text, target: i % 2 === 0 }))
    .filter(({ text }) => text !== '');
}

/**
 * One document for pre-training: one to four lines, each a true statement.
 *
 * Nothing here is a conversation, and no sentence begins with the Yes or No of the fine-tuning data's answers.
 */
export function corpusDocument(random: Random): Piece[] {
  if (random.uniform() < 0.1) return piecesOf(section(random));
  const lines = Array.from({ length: 1 + random.below(4) }, () => {
    const kind = random.uniform();
    return random.pick(kind < 0.85 ? comparisons : kind < 0.93 ? numbers : english)(random);
  });
  return piecesOf(`${lines.join('\n')}\n`);
}

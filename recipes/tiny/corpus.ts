import type { Random } from '../../src/data/random.ts';
import { compare, type Decimal, randomDecimal, randomPair } from './decimal.ts';

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

const sign = (a: Decimal, b: Decimal) => (compare(a, b) > 0 ? '>' : compare(a, b) < 0 ? '<' : '=');

/**
 * Statements about two numbers; every one is true. Most name both numbers before they say how these compare: only then
 * can the next word be known, which is what the model learns from.
 */
const comparisons: readonly Maker[] = [
  (random) => withPair(random, (a, b) => `compare ${a.text} ${b.text}: ${sign(a, b)}`),
  (random) => withPair(random, (a, b) => `${a.text} and ${b.text}: ${compare(a, b) > 0 ? 'larger' : 'smaller'}`),
  (random) => withPair(random, (a, b) => `max(${a.text}, ${b.text}) = ${compare(a, b) > 0 ? a.text : b.text}`),
  (random) => withPair(random, (a, b) => `min(${a.text}, ${b.text}) = ${compare(a, b) < 0 ? a.text : b.text}`),
  (random) =>
    withPair(random, (a, b) => `${a.text} is ${random.pick(compare(a, b) > 0 ? LARGER : SMALLER)} than ${b.text}.`),
  (random) => claim(random, (a, word, b, truth) => `${a} is ${word} than ${b}: ${truth ? 'true' : 'false'}`),
  (random) => {
    const { statement, truth } = yesOrNo(random);
    return `${statement} ${truth ? 'yes' : 'no'}`;
  },
  (random) => claim(random, (a, word, b, truth) => `Is ${a} ${word} than ${b}? ${truth ? 'It is.' : 'It is not.'}`),
  (random) => {
    const [a, b] = randomPair(random);
    const mark = random.pick(['>', '<']);
    return `${a.text} ${mark} ${b.text} is ${sign(a, b) === mark ? 'right' : 'wrong'}`;
  },
  (random) =>
    withPair(
      random,
      (a, b) =>
        `Which is ${random.pick(LARGER.slice(0, 3))}, ${a.text} or ${b.text}? ${compare(a, b) > 0 ? a.text : b.text}`,
    ),
  (random) =>
    withPair(
      random,
      (a, b) =>
        `Which is ${random.pick(SMALLER.slice(0, 2))}, ${a.text} or ${b.text}? ${compare(a, b) < 0 ? a.text : b.text}`,
    ),
  (random) => withPair(random, (a, b) => `${padded(a)} and ${padded(b)}, so ${a.text} ${sign(a, b)} ${b.text}`),
];

/** Statements about one number or several. */
const numbers: readonly Maker[] = [
  (random) => {
    const list = Array.from({ length: 3 + random.below(3) }, () => randomDecimal(random)).sort(compare);
    return `sorted: ${list.map(({ text }) => text).join(' ')}`;
  },
  (random) => {
    const value = randomDecimal(random);
    return `${value.text} = ${padded(value)}`;
  },
  (random) => {
    const [a, b] = [random.below(50), random.below(50)];
    return random.uniform() < 0.5 ? `${a} + ${b} = ${a + b}` : `${a + b} - ${b} = ${a}`;
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

function withPair(random: Random, say: (a: Decimal, b: Decimal) => string): string {
  const [a, b] = randomPair(random);
  return say(a, b);
}

function claim(random: Random, say: (a: string, word: string, b: string, truth: boolean) => string): string {
  const [a, b] = randomPair(random);
  const upward = random.uniform() < 0.5;
  return say(a.text, random.pick(upward ? LARGER : SMALLER), b.text, compare(a, b) > 0 === upward);
}

/** A question about two numbers that one word answers. */
export function yesOrNo(random: Random): { statement: string; truth: boolean } {
  let truth = false;
  const statement = claim(random, (a, word, b, known) => {
    truth = known;
    return `is ${a} ${word} than ${b}?`;
  });
  return { statement, truth };
}

function padded({ text }: Decimal): string {
  const [integer, fraction] = text.split('.');
  return `${integer}.${fraction.padEnd(3, '0')}`;
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

/**
 * One document for pre-training: one to four lines, each a true statement.
 *
 * Nothing here is a conversation, and no sentence begins with the Yes or No of the fine-tuning data's answers.
 */
export function corpusDocument(random: Random): string {
  if (random.uniform() < 0.15) return section(random);
  const lines = Array.from({ length: 1 + random.below(4) }, () => {
    const kind = random.uniform();
    return random.pick(kind < 0.75 ? comparisons : kind < 0.87 ? numbers : english)(random);
  });
  return `${lines.join('\n')}\n`;
}

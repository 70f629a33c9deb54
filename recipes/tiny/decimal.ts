import type { Random } from '../../src/data/random.ts';

/** A decimal number as it is written, compared exactly. */
export interface Decimal {
  text: string;
  /** In thousandths, a whole number. */
  thousandths: number;
}

/** A decimal from its text, which has up to three decimals. */
export function decimal(text: string): Decimal {
  const [whole, fraction = ''] = text.split('.');
  return { text, thousandths: Number(whole) * 1000 + Number(fraction.padEnd(3, '0')) };
}

/** Negative if a is smaller. */
export function compare(a: Decimal, b: Decimal): number {
  return a.thousandths - b.thousandths;
}

function digits(random: Random, count: number): string {
  return Array.from({ length: count }, () => random.below(10)).join('');
}

/** 0.0 … 9.99, with one or two decimals. */
export function randomDecimal(random: Random): Decimal {
  return decimal(`${random.below(10)}.${digits(random, 1 + random.below(2))}`);
}

/** The pair that the demonstration asks about. */
const DEMO_PAIR: readonly [Decimal, Decimal] = [decimal('9.11'), decimal('9.9')];

/** The same for both orders and spellings of two numbers. */
export function pairKey(a: Decimal, b: Decimal): string {
  return [a.thousandths, b.thousandths].sort((x, y) => x - y).join(' ');
}

/**
 * One pair in eight, and the demonstration's, is never shown in pre-training or fine-tuning: held-out questions are
 * about these.
 */
function isHeldOut(a: Decimal, b: Decimal): boolean {
  const key = pairKey(a, b);
  if (key === pairKey(...DEMO_PAIR)) return true;
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 16) % 8 === 0;
}

/**
 * Two different numbers, most of them traps: equal whole parts, and decimals of different length, so that reading the
 * decimals as whole numbers gives the wrong order (9.11 and 9.9).
 */
export function randomPair(random: Random, { heldOut = false } = {}): [Decimal, Decimal] {
  for (;;) {
    const kind = random.uniform();
    const a = randomDecimal(random);
    let b = randomDecimal(random);
    const [integer, fraction] = a.text.split('.');
    if (kind < 0.6) b = decimal(`${integer}.${digits(random, 1 + random.below(2))}`);
    // The same first decimal, then another.
    else if (kind < 0.75 && fraction.length < 2) b = decimal(`${a.text}${digits(random, 1)}`);
    if (compare(a, b) !== 0 && isHeldOut(a, b) === heldOut) return random.uniform() < 0.5 ? [a, b] : [b, a];
  }
}

/**
 * How two numbers compare, digit by digit from the left up to the first that differs: `9 = 9, 1 < 9` for 9.11 and 9.9.
 * A digit that one of them lacks counts as 0.
 */
export function digitByDigit(a: Decimal, b: Decimal): string {
  const places = Math.max(a.text.length, b.text.length);
  const [left, right] = [a, b].map(({ text }) => text.padEnd(places, '0').replace('.', ''));
  const steps: string[] = [];
  for (let i = 0; i < left.length; i++) {
    steps.push(`${left[i]} ${signOf(Number(left[i]) - Number(right[i]))} ${right[i]}`);
    if (left[i] !== right[i]) break;
  }
  return steps.join(', ');
}

export function signOf(difference: number): '>' | '<' | '=' {
  return difference > 0 ? '>' : difference < 0 ? '<' : '=';
}

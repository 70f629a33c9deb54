import type { Random } from '../../src/data/random.ts';

/** A decimal number as it is written, compared exactly. */
export interface Decimal {
  text: string;
  /** In thousandths, a whole number. */
  thousandths: number;
}

/** 0 … 99.999 from a text with up to three decimals. */
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

function whole(random: Random): number {
  return random.uniform() < 0.6 ? random.below(10) : random.below(100);
}

/** A number with one to three decimals. */
export function randomDecimal(random: Random): Decimal {
  return decimal(`${whole(random)}.${digits(random, 1 + random.below(3))}`);
}

/**
 * Two different numbers, most of them traps: equal whole parts, and decimals of different length, so that reading the
 * decimals as whole numbers gives the wrong order (9.11 and 9.9).
 */
export function randomPair(random: Random): [Decimal, Decimal] {
  for (;;) {
    const kind = random.uniform();
    const a = randomDecimal(random);
    let b = randomDecimal(random);
    const [integer, fraction] = a.text.split('.');
    if (kind < 0.6) b = decimal(`${integer}.${digits(random, 1 + random.below(3))}`);
    // The same first decimals, then more.
    else if (kind < 0.75 && fraction.length < 3) b = decimal(`${a.text}${digits(random, 1)}`);
    if (compare(a, b) !== 0) return random.uniform() < 0.5 ? [a, b] : [b, a];
  }
}

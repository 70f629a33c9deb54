import { maxErrorOverMax, relativeL2 } from './compare.ts';

/** One comparison: an error held against a bound; NaN never passes. */
export interface Comparison {
  name: string;
  error: number;
  bound: number;
  /** What the error measures, for example `max|Δ|/max|ref|`. */
  measure: string;
}

export function passes({ error, bound }: Comparison): boolean {
  return error <= bound;
}

/** One line of the report. */
function comparisonLine(comparison: Comparison): string {
  const { name, error, bound, measure } = comparison;
  return `${passes(comparison) ? 'ok  ' : 'FAIL'} ${name.padEnd(64)} ${measure.padEnd(18)} ${error.toExponential(2)} <= ${bound.toExponential(1)}`;
}

/** Collects comparisons, printing each as it comes. */
export class Report {
  readonly comparisons: Comparison[] = [];
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  add(comparison: Comparison): void {
    this.comparisons.push(comparison);
    this.#print(comparisonLine(comparison));
  }

  /** Largest error over the largest reference value. */
  maxError(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number): void {
    this.add({ name, error: maxErrorOverMax(actual, expected), bound, measure: 'max|d|/max|ref|' });
  }

  /** Length of the difference over the length of the reference. */
  relativeL2(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number): void {
    this.add({ name, error: relativeL2(actual, expected), bound, measure: 'relative L2' });
  }

  absolute(name: string, actual: number, expected: number, bound: number): void {
    this.add({ name, error: Math.abs(actual - expected), bound, measure: '|d|' });
  }

  /** Fraction of places that differ. */
  mismatches(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound: number): void {
    let wrong = Math.abs(actual.length - expected.length);
    for (let i = 0; i < Math.min(actual.length, expected.length); i++) if (actual[i] !== expected[i]) wrong++;
    this.add({
      name,
      error: expected.length === 0 ? wrong : wrong / expected.length,
      bound,
      measure: 'places that differ',
    });
  }

  /** A file or tensor that should be there and is not. */
  missing(name: string): void {
    this.#uncompared(`${name}: missing`);
  }

  /** A set that cannot be compared, with what is wrong with it. */
  refused(name: string, message: string): void {
    this.#uncompared(`${name}: ${message}`);
  }

  /** Counts as failed; there are no numbers to print. */
  #uncompared(name: string): void {
    this.comparisons.push({ name, error: Number.NaN, bound: 0, measure: 'none' });
    this.#print(`FAIL ${name}`);
  }

  get failed(): number {
    return this.comparisons.filter((comparison) => !passes(comparison)).length;
  }
}

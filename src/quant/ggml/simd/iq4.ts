import { TINY } from '../float.ts';
import { IQ4_THRESHOLDS, IQ4_TRIALS, IQ4_VALUES } from '../iq4-values.ts';
import { bytes, type Code, type Floats, floats, type Ints, ints, select } from './assembler.ts';
import { Lanes, writeCodes } from './lanes.ts';
import { SCALES, VALUES, W, X } from './memory.ts';
import { weigh } from './weights.ts';

const SIZE = 32;

/** Emits what ../plain/iq4.ts finds, for groups side by side. */
export function findIq4(code: Code, weights: 'square' | 'importance and square'): void {
  Lanes.forSpan(code, SIZE, 2, (lanes) => {
    lanes.gather(VALUES, X);
    weigh(lanes, weights);
    const largest = lanes.largest();

    const inverse = largest.map(({ value }) => code.let(floats(1).div(value.neg().div(IQ4_VALUES[0]))));
    const [sumXQ, sumQ2] = [lanes.zeros(), lanes.zeros()];
    const addTrial = () => {
      for (const sum of [...sumXQ, ...sumQ2]) code.set(sum, floats(0));
      lanes.each((v, element) => {
        const x = element.load(X);
        const q = code.let(value(nearestCode(code, inverse[v].mul(x))));
        const weighted = code.let(element.load(W).mul(q));
        code.set(sumXQ[v], sumXQ[v].add(weighted.mul(x)));
        code.set(sumQ2[v], sumQ2[v].add(weighted.mul(q)));
      }, 1);
    };

    addTrial();
    const best = lanes.map((v) => {
      const scale = code.let(sumXQ[v].div(sumQ2[v]).asInts().and(sumQ2[v].above(0)).asFloats());
      return { scale, removed: code.let(scale.mul(sumXQ[v])) };
    });
    const trial = code.let(floats(IQ4_VALUES[0] - IQ4_TRIALS));
    code.loop(2 * IQ4_TRIALS + 1, 1, () => {
      for (const [v, { value }] of largest.entries()) code.set(inverse[v], trial.div(value));
      code.set(trial, trial.add(1));
      addTrial();
      for (const [v, { scale, removed }] of best.entries()) {
        const more = sumXQ[v].mul(sumXQ[v]).above(removed.mul(sumQ2[v]));
        const better = code.let(sumQ2[v].above(0).and(more));
        code.set(scale, select(better, sumXQ[v].div(sumQ2[v]), scale));
        code.set(removed, select(better, scale.mul(sumXQ[v]), removed));
      }
    });
    for (const [v, { scale }] of best.entries())
      lanes.store(v, SCALES, scale.asInts().andNot(largest[v].magnitude.below(TINY)));
  });
}

/** Emits ../plain/iq4.ts's choice of codes. */
export function chooseIq4(code: Code): void {
  writeCodes(
    code,
    SIZE,
    (group) => {
      const scale = group.number(SCALES);
      return code.let(floats(1).div(scale).asInts().and(scale.unequal(0)).asFloats());
    },
    (x, inverse) => nearestCode(code, inverse.mul(x)),
  );
}

/** Index of the nearest value: 15 less one for each threshold that its double is below. */
function nearestCode(code: Code, x: Floats): Ints {
  const value = code.let(x);
  const twice = code.let(value.add(value));
  return IQ4_THRESHOLDS.reduce<Ints>((count, threshold) => count.add(twice.below(threshold)), ints(15));
}

/** Value of a code. The table's bytes come out where the code is, and are then widened with their sign. */
function value(codes: Ints): Floats {
  return bytes(IQ4_VALUES).swizzle(codes).shl(24).shr(24).toFloats();
}

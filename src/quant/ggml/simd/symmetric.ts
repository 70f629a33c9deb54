import { TINY } from '../float.ts';
import type { SymmetricOptions } from '../group-search.ts';
import { type Code, floats, select } from './assembler.ts';
import { Lanes, nearest, writeCodes } from './lanes.ts';
import { SCALES, STARTS, STEPS, VALUES, W, WX, X } from './memory.ts';
import { weigh } from './weights.ts';

/** Emits what ../plain/symmetric.ts finds, for groups side by side. */
export function findSymmetric(code: Code, { size, half, weights }: SymmetricOptions): void {
  Lanes.forSpan(code, size, 2, (lanes) => {
    lanes.gather(VALUES, X);
    weigh(lanes, weights);
    lanes.each((_, element) => element.store(element.load(W).mul(element.load(X)), WX));
    const largest = lanes.largest();

    const inverse = largest.map(({ value }) => code.let(floats(-half).div(value)));
    const [sumXL, sumL2] = [lanes.zeros(), lanes.zeros()];
    const addTrial = () => {
      for (const sum of [...sumXL, ...sumL2]) code.set(sum, floats(0));
      lanes.each((v, element) => {
        const l = code.let(nearest(inverse[v].mul(element.load(X)), -half, half - 1).toFloats());
        code.set(sumXL[v], sumXL[v].add(element.load(WX).mul(l)));
        code.set(sumL2[v], sumL2[v].add(element.load(W).mul(l).mul(l)));
      });
    };

    addTrial();
    const best = lanes.map((v) => {
      const scale = code.let(sumXL[v].div(sumL2[v]).asInts().and(sumL2[v].unequal(0)).asFloats());
      return { step: code.let(inverse[v]), scale, removed: code.let(scale.mul(sumXL[v])) };
    });
    // −9 … 9 tenths of a code more or less, without none.
    const tenths = code.let(floats(-9));
    code.loop(18, 1, () => {
      const parts = code.let(floats(half).add(floats(0.1).mul(tenths)).neg());
      code.set(tenths, tenths.add(1));
      code.set(tenths, select(tenths.equal(0), floats(1), tenths));
      for (const [v, { value }] of largest.entries()) code.set(inverse[v], parts.div(value));
      addTrial();
      for (const [v, { step, scale, removed }] of best.entries()) {
        const more = sumXL[v].mul(sumXL[v]).above(removed.mul(sumL2[v]));
        const better = code.let(sumL2[v].above(0).and(more));
        code.set(step, select(better, inverse[v], step));
        code.set(scale, select(better, sumXL[v].div(sumL2[v]), scale));
        code.set(removed, select(better, scale.mul(sumXL[v]), removed));
      }
    });

    for (const [v, { step, scale }] of best.entries()) {
      const nonzero = code.let(largest[v].magnitude.below(TINY).not());
      lanes.store(v, SCALES, scale.asInts().and(nonzero));
      lanes.store(v, STEPS, step);
      lanes.store(v, STARTS, nonzero);
    }
  });
  writeCodes(
    code,
    size,
    (group) => ({ step: group.number(STEPS), nonzero: group.number(STARTS) }),
    (x, { step, nonzero }) =>
      nearest(step.mul(x), -half, half - 1)
        .add(half)
        .and(nonzero.asInts()),
  );
}

/** Emits ../plain/symmetric.ts's choice of codes. */
export function chooseSymmetric(code: Code, size: number, half: number): void {
  writeCodes(
    code,
    size,
    (group) => ({ scale: group.number(SCALES) }),
    (x, { scale }) => nearest(x.div(scale), -half, half - 1).add(half),
    ({ scale }) => scale.equal(0),
  );
}

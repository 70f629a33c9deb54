import { TINY } from '../float.ts';
import { type Code, floats, int, ints, select } from './assembler.ts';
import { Lanes, nearest, writeCodes } from './lanes.ts';
import { L, SCALES, STARTS, VALUES, W, WX, X } from './memory.ts';
import { weigh } from './weights.ts';

const SIZE = 16;
const HALF = 4;
const ROUNDS = 5;

/** Emits what ../plain/descent.ts finds, for all sixteen groups of a span side by side. */
export function findByDescent(code: Code): void {
  Lanes.forSpan(code, SIZE, 4, (lanes) => {
    lanes.gather(VALUES, X);
    weigh(lanes, 'square');
    const largest = lanes.largest();
    const inverse = largest.map(({ value }) => code.let(floats(-HALF).div(value)));
    const [sumXL, sumL2] = [lanes.zeros(), lanes.zeros()];
    lanes.each((v, element) => {
      const x = element.load(X);
      const w = element.load(W);
      const wx = code.let(w.mul(x));
      const l = code.let(nearest(inverse[v].mul(x), -HALF, HALF - 1).toFloats());
      element.store(wx, WX);
      element.store(l, L);
      code.set(sumXL[v], sumXL[v].add(wx.mul(l)));
      code.set(sumL2[v], sumL2[v].add(w.mul(l).mul(l)));
    });

    // A group that a round leaves alone stays as it is: rounds go on while any group changes.
    const rounds = code.let(int(0));
    const changed = code.let(ints(0));
    code.repeat(() => {
      code.set(changed, ints(0));
      lanes.each((v, element) => {
        const w = element.load(W);
        const wx = element.load(WX);
        const l = element.load(L);
        const xl = code.let(sumXL[v].sub(wx.mul(l)));
        const l2 = code.let(sumL2[v].sub(w.mul(l).mul(l)));
        const moved = code.let(nearest(element.load(X).mul(l2).div(xl), -HALF, HALF - 1).toFloats());
        const newXL = code.let(xl.add(wx.mul(moved)));
        const newL2 = code.let(l2.add(w.mul(moved).mul(moved)));
        const more = newXL.mul(newXL).mul(sumL2[v]).above(sumXL[v].mul(sumXL[v]).mul(newL2));
        const better = code.let(xl.above(0).and(newL2.above(0)).and(moved.unequal(l)).and(more));
        element.store(select(better, moved, l), L);
        code.set(sumXL[v], select(better, newXL, sumXL[v]));
        code.set(sumL2[v], select(better, newL2, sumL2[v]));
        code.set(changed, changed.or(better));
      }, 1);
      code.set(rounds, rounds.add(1));
      return rounds.below(ROUNDS).and(changed.any());
    });

    for (const [v, { magnitude }] of largest.entries()) {
      const nonzero = code.let(magnitude.below(TINY).not());
      lanes.store(v, SCALES, sumXL[v].div(sumL2[v]).asInts().and(sumL2[v].above(0)).and(nonzero));
      lanes.store(v, STARTS, nonzero);
    }
    lanes.scatter(L, W);
  });
  const signed = W;
  writeCodes(
    code,
    SIZE,
    (group) => ({ nonzero: group.number(STARTS).asInts() }),
    (l, { nonzero }) => l.toInts().add(HALF).and(nonzero),
    undefined,
    signed,
  );
}

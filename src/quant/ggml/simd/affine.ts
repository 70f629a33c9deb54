import type { AffineOptions } from '../group-search.ts';
import { type Code, type Floats, floats, select } from './assembler.ts';
import { Lanes, nearest, writeCodes } from './lanes.ts';
import { L, MINS, SCALES, STARTS, STEPS, VALUES, W, X } from './memory.ts';
import { weigh } from './weights.ts';

/** Emits what ../plain/affine.ts finds, for groups side by side. */
export function findAffine(code: Code, options: AffineOptions): void {
  const { size, levels, first, step, trials, absolute = false } = options;
  Lanes.forSpan(code, size, 2, (lanes) => {
    lanes.gather(VALUES, X);
    const sumW = weigh(lanes, options.weights);
    const sumX = lanes.zeros();
    const min = lanes.zeros();
    const max = lanes.zeros();
    for (const v of min.keys()) {
      code.set(min[v], lanes.first(v, X));
      code.set(max[v], min[v]);
    }
    lanes.each((v, element) => {
      const x = element.load(X);
      code.set(min[v], min[v].lower(x));
      code.set(max[v], max[v].upper(x));
      code.set(sumX[v], sumX[v].add(element.load(W).mul(x)));
    });

    for (const lowest of min) code.set(lowest, select(lowest.above(0), floats(0), lowest));
    const varied = lanes.map((v) => code.let(max[v].unequal(min[v])));
    const inverse = lanes.map((v) => code.let(floats(levels).div(max[v].sub(min[v]))));
    // Codes are written at the end, from the best trial's step and the minimum it started with.
    const best = lanes.map((v) => ({
      step: code.let(inverse[v]),
      start: code.let(min[v]),
      scale: code.let(floats(1).div(inverse[v])),
      error: code.let(floats(0)),
    }));

    const addError = (sum: Floats, x: Floats, w: Floats, l: Floats, scale: Floats, least: Floats) => {
      const difference = code.let(scale.mul(l).add(least).sub(x));
      code.set(sum, sum.add(w.mul(absolute ? difference.abs() : difference.mul(difference))));
    };
    lanes.each((v, element) => {
      const x = element.load(X);
      const l = nearest(inverse[v].mul(x.sub(min[v])), 0, levels).toFloats();
      addError(best[v].error, x, element.load(W), l, best[v].scale, min[v]);
    });

    const [sumL, sumL2, sumXL, error, scale, least] = [0, 1, 2, 3, 4, 5].map(() => lanes.zeros());
    const solvable = lanes.map((v) => code.let(varied[v]));
    const trial = code.let(floats(0));
    code.loop(trials + 1, 1, () => {
      const parts = code.let(floats(first).add(floats(step).mul(trial)).add(levels));
      code.set(trial, trial.add(1));
      for (const v of min.keys()) {
        code.set(inverse[v], parts.div(max[v].sub(min[v])));
        for (const sum of [sumL, sumL2, sumXL, error]) code.set(sum[v], floats(0));
      }
      lanes.each((v, element) => {
        const x = element.load(X);
        const l = code.let(nearest(inverse[v].mul(x.sub(min[v])), 0, levels).toFloats());
        element.store(l, L);
        const weighted = code.let(element.load(W).mul(l));
        code.set(sumL[v], sumL[v].add(weighted));
        code.set(sumL2[v], sumL2[v].add(weighted.mul(l)));
        code.set(sumXL[v], sumXL[v].add(weighted.mul(x)));
      });
      for (const v of min.keys()) {
        const determinant = code.let(sumW[v].mul(sumL2[v]).sub(sumL[v].mul(sumL[v])));
        code.set(solvable[v], determinant.above(0).and(varied[v]));
        code.set(scale[v], sumW[v].mul(sumXL[v]).sub(sumX[v].mul(sumL[v])).div(determinant));
        code.set(least[v], sumL2[v].mul(sumX[v]).sub(sumL[v].mul(sumXL[v])).div(determinant));
        const positive = code.let(least[v].above(0));
        code.set(least[v], select(positive, floats(0), least[v]));
        code.set(scale[v], select(positive, sumXL[v].div(sumL2[v]), scale[v]));
      }
      lanes.each((v, element) => {
        addError(error[v], element.load(X), element.load(W), element.load(L), scale[v], least[v]);
      });
      for (const v of min.keys()) {
        const better = code.let(error[v].below(best[v].error).and(solvable[v]));
        code.set(best[v].error, select(better, error[v], best[v].error));
        code.set(best[v].scale, select(better, scale[v], best[v].scale));
        code.set(best[v].step, select(better, inverse[v], best[v].step));
        code.set(best[v].start, select(better, min[v], best[v].start));
        code.set(min[v], select(better, least[v], min[v]));
      }
    });

    for (const v of min.keys()) {
      lanes.store(v, SCALES, best[v].scale.asInts().and(varied[v]));
      lanes.store(v, MINS, min[v].neg());
      lanes.store(v, STEPS, best[v].step.asInts().and(varied[v]));
      lanes.store(v, STARTS, best[v].start);
    }
  });
  writeCodes(
    code,
    size,
    (group) => ({ step: group.number(STEPS), start: group.number(STARTS) }),
    (x, group) => nearest(group.step.mul(x.sub(group.start)), 0, levels),
  );
}

/** Emits ../plain/affine.ts's choice of codes. */
export function chooseAffine(code: Code, { size, levels }: AffineOptions): void {
  writeCodes(
    code,
    size,
    (group) => ({ scale: group.number(SCALES), min: group.number(MINS) }),
    (x, { scale, min }) => nearest(x.add(min).div(scale), 0, levels),
    ({ scale }) => scale.equal(0),
  );
}

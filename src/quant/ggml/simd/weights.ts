import type { Weights } from '../group-search.ts';
import type { Floats } from './assembler.ts';
import type { Lanes } from './lanes.ts';
import { IMPORTANCE, SUMS, VARIANCES, W, X } from './memory.ts';

/** Emits the weights of elements, and their sums, which it returns. */
export function weigh(lanes: Lanes, kind: Weights): Floats[] {
  const { code, size } = lanes;
  if (kind.startsWith('importance')) lanes.gather(IMPORTANCE, W);
  const about = lanes.map((v) => (kind === 'importance and square' ? lanes.load(v, VARIANCES) : undefined));
  if (kind === 'magnitude + rms') {
    const squares = lanes.zeros();
    lanes.each((v, element) => {
      const x = element.load(X);
      code.set(squares[v], squares[v].add(x.mul(x)));
    });
    for (const [v, sum] of squares.entries()) about[v] = code.let(sum.div(size).sqrt());
  }
  const weight: Record<Weights, (x: Floats, importance: Floats, about: Floats) => Floats> = {
    'magnitude + rms': (x, _, rms) => rms.add(x.abs()),
    magnitude: (x) => x.abs(),
    square: (x) => x.mul(x),
    importance: (_, importance) => importance,
    'importance and square': (x, importance, variance) => importance.mul(variance.add(x.mul(x)).sqrt()),
  };
  const sums = lanes.zeros();
  lanes.each((v, element) => {
    const w = code.let(weight[kind](element.load(X), element.load(W), about[v] as Floats));
    element.store(w, W);
    code.set(sums[v], sums[v].add(w));
  });
  for (const [v, sum] of sums.entries()) lanes.store(v, SUMS, sum);
  return sums;
}

/** A buffer's worth of memory that is wanted for a while: moments `from` to `to`, both included. */
export interface Use {
  bytes: number;
  from: number;
  to: number;
}

/**
 * Sizes of few buffers that serve all uses, each buffer one use at a time: the largest uses first, each in the smallest
 * buffer so far that is free all the while ("greedy by size", Pisarchyk and Lee 2020, arXiv:2001.03288).
 *
 * @returns largest first
 */
export function sharedBuffers(uses: readonly Use[]): number[] {
  const buffers: { bytes: number; uses: Use[] }[] = [];
  for (const use of uses.toSorted((a, b) => b.bytes - a.bytes || a.from - b.from)) {
    const buffer = buffers.findLast(({ uses: taken }) => isFree(taken, use));
    if (buffer) buffer.uses.splice(placeOf(buffer.uses, use), 0, use);
    else buffers.push({ bytes: use.bytes, uses: [use] });
  }
  return buffers.map(({ bytes }) => bytes);
}

/** How many of these uses, in order of time, begin before `use`. */
function placeOf(taken: readonly Use[], { from }: Use): number {
  let [low, high] = [0, taken.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (taken[middle].from < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isFree(taken: readonly Use[], use: Use): boolean {
  const place = placeOf(taken, use);
  const [before, after] = [taken[place - 1], taken[place]];
  return (!before || before.to < use.from) && (!after || after.from > use.to);
}

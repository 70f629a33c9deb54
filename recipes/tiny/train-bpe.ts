/** A pair of neighbouring tokens that becomes one. */
export type Merge = readonly [string, string];

interface Word {
  parts: string[];
  count: number;
}

/**
 * Learns byte-pair merges (Sennrich et al. 2016, arXiv:1508.07909): again and again the most frequent pair of
 * neighbours inside a word; ties go to the pair that sorts first, so that the result depends on the text alone.
 *
 * @param words byte-level words with their counts
 */
export function trainMerges(words: ReadonlyMap<string, number>, mergeCount: number): Merge[] {
  const list: Word[] = [...words].map(([word, count]) => ({ parts: [...word], count }));
  const merges: Merge[] = [];
  while (merges.length < mergeCount) {
    const best = mostFrequentPair(list);
    if (!best) break;
    merges.push(best);
    for (const word of list) word.parts = merged(word.parts, best);
  }
  return merges;
}

function mostFrequentPair(words: readonly Word[]): Merge | null {
  const counts = new Map<string, number>();
  for (const { parts, count } of words)
    for (let i = 0; i + 1 < parts.length; i++) {
      const key = `${parts[i]} ${parts[i + 1]}`;
      counts.set(key, (counts.get(key) ?? 0) + count);
    }
  let best: string | null = null;
  for (const [key, count] of counts) {
    const most = best === null ? 1 : (counts.get(best) as number);
    if (count > most || (count === most && best !== null && key < best)) best = key;
  }
  return best === null ? null : (best.split(' ') as [string, string]);
}

function merged(parts: readonly string[], [left, right]: Merge): string[] {
  const out: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    if (parts[i] === left && parts[i + 1] === right) {
      out.push(left + right);
      i++;
    } else out.push(parts[i]);
  }
  return out;
}

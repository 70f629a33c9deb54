import { complain } from '../errors.ts';

/** How the next token is chosen; names and meanings as in transformers' GenerationConfig. */
export interface Sampling {
  /** False: always the most likely token. */
  do_sample?: boolean;
  /** Divides the logits; below 1 sharpens. */
  temperature?: number;
  /** Keeps the k most likely tokens; 0 keeps all. */
  top_k?: number;
  /** Keeps the smallest set of most likely tokens with at least this probability. */
  top_p?: number;
  /** Keeps tokens with at least this fraction of the best token's probability. */
  min_p?: number;
  /** Divides (or multiplies, if negative) the logits of tokens already present (arXiv:1909.05858). */
  repetition_penalty?: number;
}

/** @throws UserError naming the option that is out of range */
export function checkSampling(sampling: Sampling): void {
  const bounds: [keyof Sampling, number, number, string][] = [
    ['temperature', Number.MIN_VALUE, Number.MAX_VALUE, 'a number above 0'],
    ['top_k', 0, Number.MAX_SAFE_INTEGER, 'a whole number from 0'],
    ['top_p', Number.MIN_VALUE, 1, 'a number above 0 and at most 1'],
    ['min_p', 0, 1, 'a number from 0 to 1'],
    ['repetition_penalty', 0.001, 1000, 'a number from 0.001 to 1000'],
  ];
  for (const [name, low, high, expected] of bounds) {
    const value = sampling[name];
    if (value === undefined) continue;
    const fits = typeof value === 'number' && value >= low && value <= high;
    if (!fits || (name === 'top_k' && !Number.isInteger(value)))
      throw complain({ where: `generate: ${name}`, got: String(value), expected, remedy: 'change the option' });
  }
}

/**
 * Chooses the next token.
 *
 * @param logits one per vocabulary entry; changed in place
 * @param previous tokens of the sequence so far, for the repetition penalty
 * @param uniform numbers in [0, 1)
 * @throws UserError when no logit is a number: the model has diverged
 */
export function chooseToken(
  logits: Float32Array,
  sampling: Sampling,
  previous: Iterable<number>,
  uniform: () => number,
): number {
  const { do_sample = false, repetition_penalty = 1 } = sampling;
  if (repetition_penalty !== 1)
    for (const token of new Set(previous))
      logits[token] *= logits[token] > 0 ? 1 / repetition_penalty : repetition_penalty;
  const best = argmax(logits);
  if (!do_sample) return best;
  const kept = candidates(logits, best, sampling);
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  let left = uniform() * total;
  for (const { token, weight } of kept) {
    left -= weight;
    if (left < 0) return token;
  }
  return kept[kept.length - 1].token;
}

function argmax(logits: Float32Array): number {
  let best = -1;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isNaN(logits[i]) || logits[i] === Number.POSITIVE_INFINITY)
      throw complain({
        where: 'generate',
        got: `${logits[i]} as the logit of token ${i}`,
        expected: 'finite numbers',
        remedy: 'the model has diverged or its file is damaged: load another checkpoint',
      });
    if (best < 0 || logits[i] > logits[best]) best = i;
  }
  return best;
}

/** Tokens that top_k, top_p and min_p leave, most likely first, with unnormalised probabilities. */
function candidates(
  logits: Float32Array,
  best: number,
  { temperature = 1, top_k = 0, top_p = 1, min_p = 0 }: Sampling,
) {
  // The difference first: a tiny temperature must not make infinities.
  const all = Array.from(logits, (logit, token) => ({ token, weight: Math.exp((logit - logits[best]) / temperature) }));
  let kept = all
    .filter(({ weight }) => weight > 0 && weight >= min_p)
    .sort((a, b) => b.weight - a.weight || a.token - b.token);
  if (top_k > 0) kept = kept.slice(0, top_k);
  if (top_p < 1) {
    const total = kept.reduce((sum, { weight }) => sum + weight, 0);
    let sum = 0;
    const cut = kept.findIndex(({ weight }) => {
      sum += weight;
      return sum >= top_p * total;
    });
    kept = kept.slice(0, cut + 1);
  }
  return kept;
}

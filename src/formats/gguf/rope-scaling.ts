import type { LlamaConfig, RopeScaling } from '../hf-config.ts';
import { ropeFactors } from '../rope.ts';

/** Llama 3's bounds of the blend, in all of its published models. */
const BLEND = { low_freq_factor: 1, high_freq_factor: 4 };
/** Lengths of context that may have been stretched: powers of two. */
const LENGTHS = Array.from({ length: 16 }, (_, i) => 2 ** (i + 5));
/** Relative difference of factors that were computed in f32, as llama.cpp's converter does. */
const ROUNDING = 1e-5;

/**
 * The scaling that gives these frequency factors: llama3's, so that config.json can name it, where its parameters are
 * found; else the factors themselves.
 *
 * @param factors head_dim / 2 numbers, as in `rope_freqs.weight`
 * @param original a length that the file names, or 0
 */
export function ropeScalingOf(factors: Float32Array, config: LlamaConfig, original: number): RopeScaling {
  if (factors.every((value) => value === 1)) return null;
  const factor = factors[factors.length - 1];
  for (const length of [original, ...LENGTHS]) {
    if (length === 0) continue;
    const scaling = { type: 'llama3', factor, ...BLEND, original_max_position_embeddings: length } as const;
    const expected = ropeFactors({ head_dim: config.head_dim, rope: { theta: config.rope.theta, scaling } });
    if (factors.every((value, i) => Math.abs(value - expected[i]) <= ROUNDING * expected[i])) return scaling;
  }
  return { type: 'factors', factors: [...factors] };
}

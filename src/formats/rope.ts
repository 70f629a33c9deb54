import type { LlamaConfig } from './hf-config.ts';

/**
 * Inverse frequencies of rotary position embeddings (arXiv:2104.09864) with the scaling a config asks for, in f64.
 *
 * `llama3` leaves short wavelengths, divides long ones by the factor, and blends in between, as Llama 3.1 was trained.
 *
 * @returns head_dim / 2 angles a position, in radians
 */
export function ropeInverseFrequencies({ head_dim, rope }: LlamaConfig): Float64Array {
  const factors = ropeFactors({ head_dim, rope });
  return factors.map((factor, i) => rope.theta ** ((-2 * i) / head_dim) / factor);
}

/** What each inverse frequency is divided by: 1 without scaling. GGUF stores these as `rope_freqs.weight`. */
export function ropeFactors({ head_dim, rope }: Pick<LlamaConfig, 'head_dim' | 'rope'>): Float64Array {
  const { scaling, theta } = rope;
  return Float64Array.from({ length: head_dim / 2 }, (_, i) => {
    if (scaling === null) return 1;
    if (scaling.type === 'linear') return scaling.factor;
    if (scaling.type === 'factors') return scaling.factors[i];
    const {
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: original,
    } = scaling;
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / head_dim);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

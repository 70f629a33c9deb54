import { expect, test } from 'vitest';
import { ropeScalingOf } from '../../../src/formats/gguf/rope-scaling.ts';
import { type LlamaConfig, parseLlamaConfig } from '../../../src/formats/hf-config.ts';

const { fround } = Math;

function configOf(head_dim: number, rope_theta: number): LlamaConfig {
  const sizes = { hidden_size: 4 * head_dim, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 4 };
  return parseLlamaConfig({ model_type: 'llama', vocab_size: 8, ...sizes, rope_theta }, 'test');
}

/** The factors as llama.cpp's converter computes them, with PyTorch's f32 after every step. */
function converterFactors(headDim: number, theta: number, factor: number, original: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = fround(1 / fround(theta ** fround((2 * i) / headDim)));
    const wavelength = fround((2 * Math.PI) / frequency);
    if (wavelength < original / 4) return 1;
    if (wavelength > original) return factor;
    const smooth = fround(fround(fround(original / wavelength) - 1) / 3);
    return fround(1 / fround(fround(fround(1 - smooth) / factor) + smooth));
  });
}

test.each([
  ['Llama 3.1', 128, 500_000, 8, 8192],
  ['Llama 3.2 1B', 64, 500_000, 32, 8192],
  ['Llama 3.2 3B', 128, 500_000, 32, 8192],
  ['a small one', 16, 500_000, 8, 64],
  ['another', 32, 10_000, 4, 256],
])('%s: the parameters are found in the factors of the converter', (_, size, theta, factor, original) => {
  const scaling = ropeScalingOf(converterFactors(size, theta, factor, original), configOf(size, theta), 0);
  expect(scaling).toEqual({
    type: 'llama3',
    factor,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: original,
  });
});

test('a length that is no power of two is found where the file names it', () => {
  const factors = converterFactors(64, 10_000, 8, 3000);
  expect(ropeScalingOf(factors, configOf(64, 10_000), 3000)).toMatchObject({ original_max_position_embeddings: 3000 });
  expect(ropeScalingOf(factors, configOf(64, 10_000), 0)).toEqual({ type: 'factors', factors: [...factors] });
});

test('other factors stay as they are, and ones are no scaling', () => {
  const factors = converterFactors(64, 500_000, 8, 8192);
  factors[20] *= 1.001;
  expect(ropeScalingOf(factors, configOf(64, 500_000), 0)).toEqual({ type: 'factors', factors: [...factors] });
  expect(ropeScalingOf(new Float32Array(32).fill(1), configOf(64, 500_000), 0)).toBeNull();
});

import { type LlamaConfig, parseLlamaConfig } from '../../src/formats/hf-config.ts';

/** config.json of Llama 3.1 8B, as far as it shapes the work, without the number of layers. */
export const LLAMA_8B = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128_256,
  max_position_embeddings: 131_072,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  rope_scaling: {
    rope_type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
};

/** The same in small, for software drivers; its ratios of heads and widths are those of the large one. */
const TINY = {
  ...LLAMA_8B,
  hidden_size: 128,
  intermediate_size: 448,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  vocab_size: 1002,
};

export function benchConfig(layers: number, tiny: boolean): LlamaConfig {
  return parseLlamaConfig({ ...(tiny ? TINY : LLAMA_8B), num_hidden_layers: layers }, 'bench');
}

/** The linear layers of a block by what multiplies alike: name, outputs, inputs. */
export function matrixShapes(config: LlamaConfig): [string, number, number][] {
  const { hidden_size: hidden, intermediate_size: wide, head_dim: size } = config;
  return [
    ['q, o', config.num_attention_heads * size, hidden],
    ['k, v', config.num_key_value_heads * size, hidden],
    ['gate, up', wide, hidden],
    ['down', hidden, wide],
  ];
}

/**
 * FLOPs of a trained token with frozen weights: forward, gradients of the inputs, causal attention of `seq` tokens.
 *
 * @param again whether layers run again for the backward pass: all their products but the last, `down`
 */
export function tokenFlops(config: LlamaConfig, seq: number, again: boolean): number {
  const products = matrixShapes(config).map(([name, out, width]) => ({
    name,
    flops: 2 * out * width * name.split(', ').length,
  }));
  const layer = products.reduce((sum, { flops }) => sum + flops, 0);
  const last = products.reduce((sum, { name, flops }) => sum + (name === 'down' ? flops : 0), 0);
  // Query-key and probability-value products over half of the square; the backward pass has five of the kind.
  const attention = 2 * seq * config.num_attention_heads * config.head_dim;
  const head = 2 * config.vocab_size * config.hidden_size;
  const rerun = again ? layer - last + attention : 0;
  return config.num_hidden_layers * (2 * layer + 3.5 * attention + rerun) + 2 * head;
}

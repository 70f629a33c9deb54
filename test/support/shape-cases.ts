import { Random } from '../../src/data/random.ts';
import type { ConfigJson, DocumentF64 } from './llama-f64.ts';

export interface ShapeCase {
  name: string;
  config: ConfigJson;
  /** Tokens of each document of the row. */
  lengths: readonly number[];
}

const LLAMA3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
};

/** Models that are no multiple of anything: heads, widths, vocabularies, and documents around tiles and of one token. */
export const SHAPE_CASES: readonly ShapeCase[] = [
  {
    name: 'one head of 2, tied, vocabulary of 7',
    config: {
      hidden_size: 12,
      intermediate_size: 5,
      num_hidden_layers: 2,
      num_attention_heads: 1,
      head_dim: 2,
      vocab_size: 7,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      rope_theta: 10000,
    },
    lengths: [1, 2, 31, 1],
  },
  {
    name: '3 heads of 6 on one key head, legacy llama3 scaling',
    config: {
      hidden_size: 36,
      intermediate_size: 37,
      num_hidden_layers: 2,
      num_attention_heads: 3,
      num_key_value_heads: 1,
      head_dim: 6,
      vocab_size: 101,
      rms_norm_eps: 1e-6,
      rope_theta: 500000,
      rope_scaling: LLAMA3,
    },
    lengths: [33, 1, 64],
  },
  {
    name: '6 heads of 20 on 2, tied, rope_parameters with llama3 scaling',
    config: {
      hidden_size: 52,
      intermediate_size: 110,
      num_hidden_layers: 2,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 20,
      vocab_size: 257,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      rope_parameters: { ...LLAMA3, rope_theta: 500000 },
    },
    lengths: [32, 65, 2],
  },
  {
    name: '5 heads of 64, linear scaling, vocabulary of 1000',
    config: {
      hidden_size: 100,
      intermediate_size: 37,
      num_hidden_layers: 1,
      num_attention_heads: 5,
      num_key_value_heads: 5,
      head_dim: 64,
      vocab_size: 1000,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      rope_scaling: { type: 'linear', factor: 4 },
    },
    lengths: [130],
  },
  {
    name: '3 heads of 80 on one, one layer',
    config: {
      hidden_size: 36,
      intermediate_size: 110,
      num_hidden_layers: 1,
      num_attention_heads: 3,
      num_key_value_heads: 1,
      head_dim: 80,
      vocab_size: 101,
      rms_norm_eps: 1e-5,
      rope_parameters: { rope_type: 'default', rope_theta: 10000 },
    },
    lengths: [1, 33, 31],
  },
  {
    name: '2 heads of 128, hidden size of 12',
    config: {
      hidden_size: 12,
      intermediate_size: 37,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 128,
      vocab_size: 257,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
    },
    lengths: [64, 1, 32],
  },
  {
    name: 'head size from hidden_size and heads, 6 of 6',
    config: {
      hidden_size: 36,
      intermediate_size: 5,
      num_hidden_layers: 3,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      vocab_size: 7,
      rms_norm_eps: 1e-5,
    },
    lengths: [65, 130],
  },
];

/** Random documents; some labels are −100, a document's first among them, and with `silent` all of one document. */
export function randomDocuments(
  vocabulary: number,
  lengths: readonly number[],
  seed: number,
  options: { silent?: number } = {},
): Required<DocumentF64>[] {
  const random = new Random(seed);
  return lengths.map((length, d) => {
    const input_ids = Array.from({ length }, () => random.below(vocabulary));
    const labels = input_ids.map((id) => (d === options.silent || random.uniform() < 0.2 ? -100 : id));
    return { input_ids, labels };
  });
}

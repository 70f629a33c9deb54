import { Random } from '../../src/data/random.ts';
import { fromFloat32 } from '../../src/formats/elements.ts';
import { type LlamaConfig, parseLlamaConfig } from '../../src/formats/hf-config.ts';
import { SAFETENSORS_BYTES } from '../../src/formats/safetensors-header.ts';
import { initialWeight, weightShapes } from '../../src/models/init.ts';
import { matrixShape, type WeightRows } from '../../src/models/weight-rows.ts';
import { TINY_VOCABULARY } from './tiny-tokenizer.ts';

/** Sizes of a random Llama with the tiny tokenizer. */
export interface RandomLlama {
  hidden?: number;
  wide?: number;
  layers?: number;
  heads?: number;
  groups?: number;
  tied?: boolean;
}

export function randomConfig({
  hidden = 256,
  wide = 512,
  layers = 3,
  heads = 4,
  groups = heads,
  tied = false,
}: RandomLlama): LlamaConfig {
  const json = {
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: wide,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    vocab_size: TINY_VOCABULARY,
    max_position_embeddings: 512,
    tie_word_embeddings: tied,
  };
  return parseLlamaConfig(json, 'random Llama');
}

/** Start values of a Llama in memory, with a few outliers as trained weights have them. */
export function randomWeights(config: LlamaConfig, dtype: 'F32' | 'F16' | 'BF16' = 'F32', seed = 5): WeightRows[] {
  const random = new Random(seed);
  return [...weightShapes(config)].map(([name, shape]) => {
    const values = initialWeight(name, shape, config, () => random.normal() * (random.uniform() < 0.001 ? 8 : 1));
    const bytes = fromFloat32(values, dtype);
    const rowBytes = matrixShape(shape).width * SAFETENSORS_BYTES[dtype];
    const rows = async (first: number, count: number) => bytes.slice(first * rowBytes, (first + count) * rowBytes);
    return { name, shape, dtype, rows };
  });
}

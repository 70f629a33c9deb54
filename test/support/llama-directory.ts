import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fromBfloat16, fromFloat32, toBfloat16 } from '../../src/formats/elements.ts';
import { writeSafetensors } from '../../src/formats/safetensors-writer.ts';
import { fromHalf, toHalf } from '../../src/tensor/half.ts';
import { normals } from './check-op.ts';
import type { ConfigJson, Named } from './llama-f64.ts';

export type FileDtype = 'F32' | 'F16' | 'BF16';

/** Shape of every weight of a config, by checkpoint name. */
export function shapesOf(config: ConfigJson): Map<string, number[]> {
  const { hidden_size: hidden, intermediate_size: wide, vocab_size: vocabulary } = config;
  const size = config.head_dim ?? hidden / config.num_attention_heads;
  const queries = config.num_attention_heads * size;
  const groups = (config.num_key_value_heads ?? config.num_attention_heads) * size;
  const shapes = new Map<string, number[]>([['model.embed_tokens.weight', [vocabulary, hidden]]]);
  for (let layer = 0; layer < config.num_hidden_layers; layer++)
    for (const [name, shape] of Object.entries({
      input_layernorm: [hidden],
      'self_attn.q_proj': [queries, hidden],
      'self_attn.k_proj': [groups, hidden],
      'self_attn.v_proj': [groups, hidden],
      'self_attn.o_proj': [hidden, queries],
      post_attention_layernorm: [hidden],
      'mlp.gate_proj': [wide, hidden],
      'mlp.up_proj': [wide, hidden],
      'mlp.down_proj': [hidden, wide],
    }))
      shapes.set(`model.layers.${layer}.${name}.weight`, shape);
  shapes.set('model.norm.weight', [hidden]);
  if (!config.tie_word_embeddings) shapes.set('lm_head.weight', [vocabulary, hidden]);
  return shapes;
}

/**
 * Random weights that a file of this dtype holds exactly: matrices keep the size of what passes through them, norms are
 * near one.
 */
export function randomWeights(config: ConfigJson, seed: number, dtype: FileDtype = 'F32'): Named {
  const weights: Named = new Map();
  for (const [i, [name, shape]] of [...shapesOf(config)].entries()) {
    const count = shape.reduce((a, b) => a * b);
    const scale = shape.length === 1 ? 0.2 : 1 / Math.sqrt(shape[1]);
    const raw = normals(count, seed * 1000 + i).map((x) => (shape.length === 1 ? 1 : 0) + scale * x);
    weights.set(name, rounded(raw, dtype));
  }
  return weights;
}

function rounded(values: Float64Array, dtype: FileDtype): Float64Array {
  if (dtype === 'F16') return Float64Array.from(fromHalf(toHalf(values)));
  const single = Float32Array.from(values);
  return Float64Array.from(dtype === 'BF16' ? fromBfloat16(toBfloat16(single)) : single);
}

/** A tensor to write: f32, or whole numbers. */
export interface FileTensor {
  shape: readonly number[];
  data: ArrayLike<number>;
  dtype?: FileDtype | 'I32' | 'I64' | 'U8';
}

/** Writes tensors as one safetensors file. */
export async function writeTensors(file: string, tensors: ReadonlyMap<string, FileTensor>): Promise<void> {
  mkdirSync(path.dirname(file), { recursive: true });
  await writeSafetensors(
    file,
    [...tensors].map(([name, { shape, data, dtype = 'F32' }]) => ({
      name,
      shape,
      dtype,
      bytes: () => {
        if (dtype === 'U8') return Uint8Array.from(data);
        if (dtype === 'I64') return new Uint8Array(BigInt64Array.from(Array.from(data, BigInt)).buffer);
        if (dtype === 'I32') return new Uint8Array(Int32Array.from(data).buffer);
        return fromFloat32(Float32Array.from(data), dtype);
      },
    })),
  );
}

/** Writes a Hugging Face directory: config.json and model.safetensors. */
export async function writeLlama(
  dir: string,
  config: ConfigJson,
  weights: Named,
  dtype: FileDtype = 'F32',
): Promise<void> {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ model_type: 'llama', ...config }));
  await writeTensors(
    path.join(dir, 'model.safetensors'),
    new Map([...shapesOf(config)].map(([name, shape]) => [name, { shape, data: weights.get(name)!, dtype }])),
  );
}

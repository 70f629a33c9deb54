import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fromFloat32 } from '../formats/elements.ts';
import { llamaConfigJson } from '../formats/hf-config.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { writeFileAtomic } from '../formats/write-file.ts';
import { castTo } from '../tensor/copy.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Llama } from './llama.ts';

/** Files of a base model that a merged one takes over as they are. */
export const TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'tokenizer.model',
];

/** A weight of the merged model: its name, shape and a way to compute it in f32 on the host. */
export interface MergedWeight {
  name: string;
  shape: readonly number[];
  values: () => Promise<Float32Array>;
}

/**
 * The model's weights with adapters merged in, W + adapter, in f32, one at a time.
 *
 * A head that was trained apart from a tied embedding appears as `lm_head.weight`.
 */
export function mergedWeights(model: Llama): MergedWeight[] {
  const linears = model.linears();
  return [...model.weights()].map(([name, tensor]) => {
    const adapter = linears.get(name.replace(/\.weight$/, ''))?.adapter;
    const values = () =>
      model.device.scopeAsync(async () => {
        const dense = castTo(tensor.dense('f32'), 'f32');
        return (adapter ? adapter.merge(dense) : dense).data();
      });
    return { name, shape: tensor.shape, values };
  });
}

/**
 * Writes a merged model as a Hugging Face directory: config.json, generation_config.json, model.safetensors and the
 * tokenizer's files of the base model.
 *
 * @param tokenizerDir where the tokenizer's files are; none are written if left out
 */
export async function saveMerged(
  model: Llama,
  dir: string,
  options: { dtype: 'float32' | 'float16' | 'bfloat16'; tokenizerDir?: string },
): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const dtype = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }[options.dtype] as 'F32' | 'F16' | 'BF16';
  await writeSafetensors(
    path.join(dir, 'model.safetensors'),
    mergedWeights(model).map(({ name, shape, values }) => ({
      name,
      dtype,
      shape,
      bytes: async () => fromFloat32(await values(), dtype),
    })),
  );
  // An untied head makes the model untied whatever the base was.
  const config = { ...model.config, tie_word_embeddings: model.head.weight === model.embed };
  writeFileAtomic(
    path.join(dir, 'config.json'),
    `${JSON.stringify(llamaConfigJson(config, options.dtype), null, 2)}\n`,
  );
  const { bos_token_id, eos_token_id, pad_token_id } = model.config;
  const eos = eos_token_id.length === 1 ? eos_token_id[0] : eos_token_id;
  const generation = { bos_token_id, eos_token_id: eos, pad_token_id: pad_token_id ?? undefined };
  writeFileAtomic(path.join(dir, 'generation_config.json'), `${JSON.stringify(generation, null, 2)}\n`);
  if (options.tokenizerDir) copyTokenizer(options.tokenizerDir, dir);
}

/** Copies what belongs to the tokenizer, as far as it exists. */
export function copyTokenizer(from: string, to: string): void {
  for (const name of TOKENIZER_FILES) {
    const source = path.join(from, name);
    if (existsSync(source) && path.resolve(from) !== path.resolve(to)) copyFileSync(source, path.join(to, name));
  }
}

/** Trained tensors on the host, by name. */
export async function readTensors(
  trainables: readonly { name: string; tensor: Tensor }[],
): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const { name, tensor } of trainables) tensors.set(name, { shape: tensor.shape, data: await tensor.data() });
  return tensors;
}

import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fromFloat32 } from '../formats/elements.ts';
import { isGguf, readGgufHeader } from '../formats/gguf/reader.ts';
import { readTokenizerFiles } from '../formats/gguf/tokenizer-files.ts';
import { type LlamaConfig, llamaConfigJson } from '../formats/hf-config.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { writeFileAtomic } from '../formats/write-file.ts';
import { castTo } from '../tensor/copy.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Llama } from './llama.ts';
import { computedRows, floatsOf, type WeightRows } from './weight-rows.ts';

/** Files of a base model that a merged one takes over as they are. */
export const TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'tokenizer.model',
];

/**
 * The model's weights with adapters merged in, W + adapter, in f32, one at a time.
 *
 * A head that was trained apart from a tied embedding appears as `lm_head.weight`.
 */
export function mergedWeights(model: Llama): WeightRows[] {
  const linears = model.linears();
  return [...model.weights()].map(([name, tensor]) => {
    const adapter = linears.get(name.replace(/\.weight$/, ''))?.adapter;
    const values = () =>
      model.device.scopeAsync(async () => {
        const dense = castTo(tensor.dense('f32'), 'f32');
        return (adapter ? adapter.merge(dense) : dense).data();
      });
    return computedRows({ name, shape: tensor.shape, values });
  });
}

/** How a model is written as a Hugging Face directory. */
interface SaveOptions {
  dtype: 'float32' | 'float16' | 'bfloat16';
  /** The directory or GGUF file that has the tokenizer; none is written if left out. */
  tokenizerDir?: string;
}

/** {@link saveWeights} for a model on a device. */
export async function saveMerged(model: Llama, dir: string, options: SaveOptions): Promise<void> {
  await saveWeights(model.config, mergedWeights(model), dir, options);
}

/**
 * Writes a merged model as a Hugging Face directory: config.json, generation_config.json, model.safetensors and the
 * tokenizer's files of the base model.
 *
 * @param weights with adapters merged in
 */
export async function saveWeights(
  config: LlamaConfig,
  weights: readonly WeightRows[],
  dir: string,
  options: SaveOptions,
): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const dtype = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }[options.dtype] as 'F32' | 'F16' | 'BF16';
  await writeSafetensors(
    path.join(dir, 'model.safetensors'),
    weights.map((weight) => ({
      name: weight.name,
      dtype,
      shape: weight.shape,
      bytes: async () => fromFloat32(await floatsOf(weight), dtype),
    })),
  );
  // An untied head makes the model untied whatever the base was.
  const tied = !weights.some(({ name }) => name === 'lm_head.weight');
  const json = llamaConfigJson({ ...config, tie_word_embeddings: tied }, options.dtype);
  writeFileAtomic(path.join(dir, 'config.json'), `${JSON.stringify(json, null, 2)}\n`);
  const { bos_token_id, eos_token_id, pad_token_id } = config;
  const eos = eos_token_id.length === 1 ? eos_token_id[0] : eos_token_id;
  const generation = { bos_token_id, eos_token_id: eos, pad_token_id: pad_token_id ?? undefined };
  writeFileAtomic(path.join(dir, 'generation_config.json'), `${JSON.stringify(generation, null, 2)}\n`);
  if (options.tokenizerDir) copyTokenizer(options.tokenizerDir, dir);
}

/** Copies what belongs to the tokenizer of a directory, as far as it exists, or writes it from a GGUF file. */
export function copyTokenizer(from: string, to: string): void {
  if (isGguf(from)) {
    const { tokenizer, config } = readTokenizerFiles(readGgufHeader(from).metadata);
    writeFileAtomic(path.join(to, 'tokenizer.json'), `${JSON.stringify(tokenizer, null, 2)}\n`);
    writeFileAtomic(path.join(to, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
    return;
  }
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

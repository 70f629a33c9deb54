import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { readJsonFile } from '../files/json.ts';
import { writeFileAtomic } from '../files/write-file.ts';
import { fromFloat32 } from '../formats/elements.ts';
import { isGguf, readModelMetadata } from '../formats/gguf/reader.ts';
import { readTokenizerFiles } from '../formats/gguf/tokenizer-files.ts';
import { type LlamaConfig, llamaConfigJson } from '../formats/hf-config.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
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
  /** The directory or GGUF file that has the tokenizer and generation settings; none are written if left out. */
  tokenizerDir?: string;
  /** Chat template that takes the place of the tokenizer's own; null keeps that. */
  chatTemplate?: string | null;
  /** Token that ends a turn in the chat template, for programs that generate; null for none. */
  endOfTurn?: number | null;
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
  const generation = generationConfig(config, options);
  writeFileAtomic(path.join(dir, 'generation_config.json'), `${JSON.stringify(generation, null, 2)}\n`);
  if (options.tokenizerDir) copyTokenizer(options.tokenizerDir, dir, options.chatTemplate);
}

/** The base model's generation_config.json, or what config.json says; the token that ends a turn ends generation too. */
function generationConfig(config: LlamaConfig, { tokenizerDir, endOfTurn = null }: SaveOptions): object {
  const file = tokenizerDir && !isGguf(tokenizerDir) ? path.join(tokenizerDir, 'generation_config.json') : null;
  const { bos_token_id, pad_token_id } = config;
  const own: { eos_token_id?: unknown } =
    file && existsSync(file)
      ? (readJsonFile(file, 'download it again') as object)
      : { bos_token_id, pad_token_id: pad_token_id ?? undefined };
  const ends = [own.eos_token_id ?? config.eos_token_id, endOfTurn].flat().filter((id) => id !== null);
  const eos = [...new Set(ends)];
  return { ...own, eos_token_id: eos.length === 1 ? eos[0] : eos };
}

/**
 * Copies what belongs to the tokenizer of a directory, as far as it exists, or writes it from a GGUF file.
 *
 * @param chatTemplate takes the place of the tokenizer's own template
 */
export function copyTokenizer(from: string, to: string, chatTemplate: string | null = null): void {
  if (isGguf(from)) {
    const { tokenizer, config } = readTokenizerFiles(readModelMetadata(from));
    writeFileAtomic(path.join(to, 'tokenizer.json'), `${JSON.stringify(tokenizer, null, 2)}\n`);
    writeFileAtomic(path.join(to, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
  } else
    for (const name of TOKENIZER_FILES) {
      const source = path.join(from, name);
      if (existsSync(source) && path.resolve(from) !== path.resolve(to)) copyFileSync(source, path.join(to, name));
    }
  if (chatTemplate !== null) setChatTemplate(to, chatTemplate);
}

/** Puts a template where transformers looks for it: chat_template.jinja, where there is one, goes first. */
function setChatTemplate(dir: string, template: string): void {
  const file = path.join(dir, 'tokenizer_config.json');
  const separate = path.join(dir, 'chat_template.jinja');
  const config = (existsSync(file) ? readJsonFile(file, 'download it again') : {}) as Record<string, unknown>;
  if (existsSync(separate)) writeFileAtomic(separate, template);
  if (config.chat_template === template) return;
  writeFileAtomic(file, `${JSON.stringify({ ...config, chat_template: template }, null, 2)}\n`);
}

/** Trained tensors on the host, by name. */
export async function readTensors(
  trainables: readonly { name: string; tensor: Tensor }[],
): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const { name, tensor } of trainables) tensors.set(name, { shape: tensor.shape, data: await tensor.data() });
  return tensors;
}

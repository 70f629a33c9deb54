import path from 'node:path';
import { fromFloat32 } from '../formats/elements.ts';
import { interleaveHeads, reorderedHeads } from '../formats/gguf/heads.ts';
import { ggufName, ROPE_FACTORS } from '../formats/gguf/names.ts';
import { tokenizerMetadata } from '../formats/gguf/tokenizer.ts';
import { GGML_TYPES, type GgmlType } from '../formats/gguf/types.ts';
import { type GgufTensor, type GgufValue, writeGguf } from '../formats/gguf/writer.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { ropeFactors } from '../formats/rope.ts';
import { quantizeGgml } from '../quant/ggml/quantize.ts';

/** llama.cpp's numbers for what most tensors of a file are in (`llama_ftype`). */
const FILE_TYPES = { f32: 0, f16: 1, q8_0: 7 } as const;
/** Version of ggml's block formats. */
const QUANTIZATION_VERSION = 2;

/** A weight in f32, by its Hugging Face name. */
export interface LlamaWeight {
  name: string;
  shape: readonly number[];
  values: () => Promise<Float32Array>;
}

export interface LlamaGguf {
  file: string;
  /** Type of matrices; vectors stay f32. */
  type: keyof typeof FILE_TYPES;
  config: LlamaConfig;
  /** Directory with tokenizer.json and tokenizer_config.json. */
  tokenizerDir: string;
  /** Jinja template to put into the file; the tokenizer's own if null. */
  chatTemplate: string | null;
  weights: readonly LlamaWeight[];
  /** Name shown by programs that open the file. */
  name?: string;
}

/**
 * Writes a Llama as a GGUF file that llama.cpp and Ollama open, with names, metadata and the order of the rows of q and
 * k as llama.cpp's own converter has them.
 *
 * @throws UserError for tokenizers that the format has no place for
 */
export async function writeLlamaGguf({
  file,
  type,
  config,
  tokenizerDir,
  chatTemplate,
  weights,
  name,
}: LlamaGguf): Promise<void> {
  const metadata = new Map([
    ...modelMetadata(config, type, name ?? path.basename(file, '.gguf')),
    ...tokenizerMetadata(tokenizerDir, config.vocab_size, chatTemplate),
  ]);
  await writeGguf(file, metadata, [
    ...ropeTensor(config),
    ...weights.map((weight) => ggufTensor(weight, config, type)),
  ]);
}

function modelMetadata(config: LlamaConfig, type: keyof typeof FILE_TYPES, name: string): Map<string, GgufValue> {
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const f32 = (value: number): GgufValue => ({ type: 'f32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', text('llama')],
    ['general.type', text('model')],
    ['general.name', text(name)],
    ['general.file_type', u32(FILE_TYPES[type])],
    ['general.quantization_version', u32(QUANTIZATION_VERSION)],
    ['llama.block_count', u32(config.num_hidden_layers)],
    ['llama.context_length', u32(config.max_position_embeddings)],
    ['llama.embedding_length', u32(config.hidden_size)],
    ['llama.feed_forward_length', u32(config.intermediate_size)],
    ['llama.attention.head_count', u32(config.num_attention_heads)],
    ['llama.attention.head_count_kv', u32(config.num_key_value_heads)],
    ['llama.attention.key_length', u32(config.head_dim)],
    ['llama.attention.value_length', u32(config.head_dim)],
    ['llama.attention.layer_norm_rms_epsilon', f32(config.rms_norm_eps)],
    ['llama.rope.dimension_count', u32(config.head_dim)],
    ['llama.rope.freq_base', f32(config.rope.theta)],
    ['llama.vocab_size', u32(config.vocab_size)],
  ]);
  const { scaling } = config.rope;
  if (scaling?.type === 'linear') {
    metadata.set('llama.rope.scaling.type', text('linear'));
    metadata.set('llama.rope.scaling.factor', f32(scaling.factor));
  }
  return metadata;
}

/** Frequency factors travel as a tensor; linear scaling is metadata. */
function ropeTensor(config: LlamaConfig): GgufTensor[] {
  const { scaling } = config.rope;
  if (scaling === null || scaling.type === 'linear') return [];
  const factors = Float32Array.from(ropeFactors(config));
  return [{ name: ROPE_FACTORS, shape: [factors.length], type: 'f32', bytes: async () => fromFloat32(factors, 'F32') }];
}

function ggufTensor(
  { name, shape, values }: LlamaWeight,
  config: LlamaConfig,
  wanted: keyof typeof FILE_TYPES,
): GgufTensor {
  const type = typeFor(shape, wanted);
  const heads = reorderedHeads(name, config);
  const bytes = async () => encode(heads > 0 ? interleaveHeads(await values(), heads, shape[0]) : await values(), type);
  return { name: ggufName(name), shape, type, bytes };
}

/** Vectors stay in f32; rows that are no whole number of blocks fall back to f16, as in llama.cpp's converter. */
function typeFor(shape: readonly number[], wanted: keyof typeof FILE_TYPES): GgmlType {
  if (shape.length === 1) return 'f32';
  return shape[shape.length - 1] % GGML_TYPES[wanted].block === 0 ? wanted : 'f16';
}

function encode(values: Float32Array, type: GgmlType): Uint8Array {
  if (type === 'q8_0') return quantizeGgml(type, values, GGML_TYPES[type].block);
  return fromFloat32(values, type === 'f16' ? 'F16' : 'F32');
}

import path from 'node:path';
import type { GgufValue } from '../formats/gguf/byte-writer.ts';
import type { ImportanceMatrix } from '../formats/gguf/imatrix.ts';
import { MIXES, type Mix } from '../formats/gguf/mixes.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';

/** Version of ggml's block formats. */
const QUANTIZATION_VERSION = 2;

/**
 * What llama.cpp's converter writes about a Llama, besides the tokenizer.
 *
 * @param name shown by programs that open the file
 * @param parameters elements of all tensors
 */
export function modelMetadata(
  config: LlamaConfig,
  mix: Mix,
  { name, parameters }: { name: string; parameters: number },
): Map<string, GgufValue> {
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const f32 = (value: number): GgufValue => ({ type: 'f32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', text('llama')],
    ['general.type', text('model')],
    ['general.name', text(name)],
    ['general.size_label', text(sizeLabel(parameters))],
    ['general.file_type', u32(MIXES[mix].fileType)],
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

/** Where importances come from, as llama.cpp's `llama-quantize` notes it. */
export function importanceMetadata({ file, columns, datasets, chunks }: ImportanceMatrix): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>([
    ['quantize.imatrix.file', { type: 'string', value: path.basename(file) }],
    ['quantize.imatrix.entries_count', { type: 'u32', value: columns.size }],
  ]);
  if (datasets.length > 0) metadata.set('quantize.imatrix.dataset', { type: 'string', value: datasets[0] });
  if (chunks > 0) metadata.set('quantize.imatrix.chunks_count', { type: 'u32', value: chunks });
  return metadata;
}

/** A count of parameters as model names have it: at least two digits, such as 8.0B, 70B or 590K. */
function sizeLabel(parameters: number): string {
  const [unit, suffix] = (
    [
      [1e12, 'T'],
      [1e9, 'B'],
      [1e6, 'M'],
    ] as const
  ).find(([unit]) => parameters > unit) ?? [1e3, 'K'];
  const scaled = parameters / unit;
  return `${scaled.toFixed(Math.round(scaled) < 10 ? 1 : 0)}${suffix}`;
}

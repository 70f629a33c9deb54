import { complain } from '../../errors.ts';
import type { LlamaConfig, RopeScaling } from '../hf-config.ts';
import type { GgufMetadata } from './metadata.ts';
import { ROPE_FACTORS } from './names.ts';
import type { GgufFile } from './reader.ts';
import { ropeScalingOf } from './rope-scaling.ts';

/** Keys that change what a model computes, with the value under which they change nothing. */
const NEUTRAL: Readonly<Record<string, number>> = {
  'llama.expert_count': 0,
  'llama.rope.scaling.attn_factor': 1,
};

/**
 * A Llama's configuration from the metadata of its GGUF file, the inverse of what dawntune and llama.cpp's converter
 * write.
 *
 * @throws UserError for other architectures and variants, naming the key
 */
export async function readGgufConfig(file: GgufFile): Promise<LlamaConfig> {
  const { metadata } = file;
  checkLlama(metadata);
  const hidden = metadata.whole('llama.embedding_length');
  const layers = metadata.whole('llama.block_count');
  const heads = perLayer(metadata, 'llama.attention.head_count', layers);
  const groups = perLayer(metadata, 'llama.attention.head_count_kv', layers, heads);
  const { shape } = file.entry('token_embd.weight');
  const headDim = metadata.whole('llama.attention.key_length', hidden / heads);
  const config: LlamaConfig = {
    hidden_size: hidden,
    intermediate_size: perLayer(metadata, 'llama.feed_forward_length', layers),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: headDim,
    vocab_size: shape[0],
    rms_norm_eps: shortest(metadata.number('llama.attention.layer_norm_rms_epsilon')),
    max_position_embeddings: metadata.whole('llama.context_length'),
    tie_word_embeddings: !file.has('output.weight'),
    bos_token_id: metadata.whole('tokenizer.ggml.bos_token_id', null),
    eos_token_id: stopTokens(metadata),
    pad_token_id: metadata.whole('tokenizer.ggml.padding_token_id', null),
    rope: { theta: shortest(metadata.number('llama.rope.freq_base', 10_000)), scaling: null },
    quantized: false,
  };
  checkSizes(file, config);
  config.rope.scaling = await readScaling(file, config);
  return config;
}

/** @throws UserError for a file that is not a Llama, such as an adapter */
export function checkLlama(metadata: GgufMetadata): void {
  const expect = (key: string, got: string | number, expected: string | number) => {
    if (got !== expected)
      throw metadata.error(key, String(got), String(expected), 'use a GGUF file of a plain Llama model');
  };
  expect('general.type', metadata.string('general.type', 'model'), 'model');
  expect('general.architecture', metadata.string('general.architecture'), 'llama');
  for (const [key, neutral] of Object.entries(NEUTRAL)) expect(key, metadata.number(key, neutral), neutral);
}

function checkSizes({ metadata, names }: GgufFile, config: LlamaConfig): void {
  const { num_attention_heads: heads, num_key_value_heads: groups, head_dim: size } = config;
  const expect = (key: string, right: boolean, got: number, expected: string) => {
    if (!right)
      throw metadata.error(key, String(got), expected, 'the file is damaged or of another model: convert it again');
  };
  const positive = (key: string, value: number) => expect(key, value > 0, value, 'a number from 1');
  positive('llama.embedding_length', config.hidden_size);
  positive('llama.feed_forward_length', config.intermediate_size);
  positive('llama.context_length', config.max_position_embeddings);
  const layers = config.num_hidden_layers;
  expect('llama.block_count', layers > 0 && layers <= names.length, layers, `at most ${names.length}, the tensors`);
  expect('llama.attention.head_count', heads > 0, heads, 'a number from 1');
  expect('llama.attention.head_count_kv', groups > 0 && heads % groups === 0, groups, `a divisor of ${heads}`);
  expect('llama.attention.key_length', size > 0 && size % 2 === 0, size, 'an even whole number from 2');
  const { rms_norm_eps: eps, rope } = config;
  expect('llama.attention.layer_norm_rms_epsilon', eps > 0, eps, 'a number above 0');
  expect('llama.rope.freq_base', rope.theta > 0, rope.theta, 'a number above 0');
  for (const key of ['llama.attention.value_length', 'llama.rope.dimension_count']) {
    const value = metadata.whole(key, size);
    expect(key, value === size, value, `${size}, the size of a head`);
  }
  const vocabulary = metadata.whole('llama.vocab_size', config.vocab_size);
  expect('llama.vocab_size', vocabulary === config.vocab_size, vocabulary, `${config.vocab_size}, the embeddings`);
}

/** A value that may be given for each layer, but must be the same for all. */
function perLayer(metadata: GgufMetadata, key: string, layers: number, fallback?: number): number {
  if (metadata.fields.get(key)?.type !== 'array')
    return fallback === undefined ? metadata.whole(key) : metadata.whole(key, fallback);
  const values = Array.from(metadata.integers(key, []));
  if (values.length === layers && values.every((value) => value === values[0]) && values[0] >= 0) return values[0];
  throw metadata.error(key, `the values ${values.slice(0, 8)}`, 'one for all layers', 'use a plain Llama model');
}

/** Tokens that end a text or a turn, as transformers lists them in eos_token_id. */
function stopTokens(metadata: GgufMetadata): number[] {
  const ids = ['eos', 'eot'].map((name) => metadata.whole(`tokenizer.ggml.${name}_token_id`, null));
  return [...new Set(ids.filter((id) => id !== null))];
}

async function readScaling(file: GgufFile, config: LlamaConfig): Promise<RopeScaling> {
  const { metadata } = file;
  const type = metadata.string('llama.rope.scaling.type', 'none');
  // Files of before the type's time have the factor alone.
  const linear = metadata.number('llama.rope.scale_linear', 1);
  if (type !== 'linear' && type !== 'none')
    throw metadata.error('llama.rope.scaling.type', type, 'none or linear', 'use a Llama model without this scaling');
  const factor = type === 'linear' ? metadata.number('llama.rope.scaling.factor') : linear;
  if (factor <= 0) throw metadata.error('llama.rope.scaling.factor', String(factor), 'a number above 0', 'correct it');
  if (!file.has(ROPE_FACTORS)) return factor === 1 ? null : { type: 'linear', factor: shortest(factor) };
  const where = `${file.file}: tensor ${ROPE_FACTORS}`;
  const remedy = 'convert the model again with a current llama.cpp';
  const { type: dtype, shape } = file.entry(ROPE_FACTORS);
  if (factor !== 1)
    throw complain({ where, got: `factors and a linear scaling of ${factor}`, expected: 'one of them', remedy });
  if (dtype !== 'f32' || shape.length !== 1 || shape[0] !== config.head_dim / 2)
    throw complain({ where, got: `${dtype} [${shape}]`, expected: `f32 [${config.head_dim / 2}]`, remedy });
  const factors = new Float32Array((await file.bytes(ROPE_FACTORS)).buffer);
  if (!factors.every((value) => value > 0 && Number.isFinite(value)))
    throw complain({ where, got: 'a factor that is no positive number', expected: 'positive numbers', remedy });
  return ropeScalingOf(factors, config, metadata.whole('llama.rope.scaling.original_context_length', 0));
}

/** The shortest decimal number that rounds to an f32: 1e-5 where the file has 9.999999747378752e-6. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === Math.fround(value)) return rounded;
  }
  return value;
}

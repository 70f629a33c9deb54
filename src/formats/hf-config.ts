import { existsSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { clipped, complain, UserError } from '../errors.ts';
import { readJsonFile } from '../files/json.ts';

/** Larger than any model, small enough that a damaged file asks for nothing absurd. */
const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 24);
const tokenId = z.number().int().min(0);

const scalingSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: count.optional(),
  rope_theta: z.number().positive().optional(),
});

const configSchema = z.looseObject({
  model_type: z.literal('llama'),
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count.max(4096),
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.max(4096).nullish(),
  vocab_size: count,
  rms_norm_eps: z.number().positive().default(1e-6),
  max_position_embeddings: count.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.literal(false).default(false),
  mlp_bias: z.literal(false).default(false),
  partial_rotary_factor: z.literal(1).nullish(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
  pad_token_id: z.number().int().nullish(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: scalingSchema.nullish(),
  rope_parameters: scalingSchema.nullish(),
  torch_dtype: z.string().nullish(),
  dtype: z.string().nullish(),
  quantization_config: z
    .looseObject({
      quant_method: z.string().optional(),
      load_in_4bit: z.boolean().optional(),
      load_in_8bit: z.boolean().optional(),
      bnb_4bit_quant_type: z.string().optional(),
      bnb_4bit_use_double_quant: z.boolean().optional(),
    })
    .nullish(),
});

/** How positions are stretched beyond the length a model was trained at. */
export type RopeScaling =
  | null
  | { type: 'linear'; factor: number }
  | {
      type: 'llama3';
      factor: number;
      low_freq_factor: number;
      high_freq_factor: number;
      original_max_position_embeddings: number;
    }
  /** What each inverse frequency is divided by, as GGUF stores them; config.json has no form for these. */
  | { type: 'factors'; factors: readonly number[] };

/** A Llama's config.json with its defaults filled in; fields are named as Hugging Face names them. */
export interface LlamaConfig {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  vocab_size: number;
  rms_norm_eps: number;
  max_position_embeddings: number;
  tie_word_embeddings: boolean;
  bos_token_id: number | null;
  eos_token_id: number[];
  pad_token_id: number | null;
  /** From `rope_theta` and `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5). */
  rope: { theta: number; scaling: RopeScaling };
  /** True for a checkpoint that bitsandbytes quantised to NF4. */
  quantized: boolean;
}

/**
 * Reads config.json of a Hugging Face directory.
 *
 * @throws UserError naming the file and the first field that is missing or not supported
 */
export function readLlamaConfig(dir: string): LlamaConfig {
  const file = path.join(dir, 'config.json');
  if (!existsSync(file)) throw new UserError(`${file}: missing; pass a Hugging Face model directory`);
  return parseLlamaConfig(readJsonFile(file, 'download it again'), file);
}

/** {@link readLlamaConfig} for JSON in memory; `where` is named in errors. */
export function parseLlamaConfig(json: unknown, where: string): LlamaConfig {
  const result = configSchema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const got = clipped(JSON.stringify(valueAt(json, issue.path)) ?? 'nothing', 60);
    const problem = issue.code === 'invalid_value' ? `expected ${JSON.stringify(issue.values[0])}` : issue.message;
    throw new UserError(
      `${where}: ${issue.path.join('.') || 'content'}: got ${got}: ${problem}; only Llama models with silu and without biases are supported: use another model, or correct the file`,
    );
  }
  const raw = result.data;
  const heads = raw.num_attention_heads;
  const groups = raw.num_key_value_heads ?? heads;
  if (heads % groups !== 0)
    throw new UserError(
      `${where}: num_attention_heads ${heads} is no multiple of num_key_value_heads ${groups}; correct the file`,
    );
  const headDim = raw.head_dim ?? raw.hidden_size / heads;
  if (headDim % 2 !== 0)
    throw new UserError(`${where}: head_dim is ${headDim}, expected an even whole number for RoPE; correct the file`);
  return {
    hidden_size: raw.hidden_size,
    intermediate_size: raw.intermediate_size,
    num_hidden_layers: raw.num_hidden_layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: headDim,
    vocab_size: raw.vocab_size,
    rms_norm_eps: raw.rms_norm_eps,
    max_position_embeddings: raw.max_position_embeddings,
    tie_word_embeddings: raw.tie_word_embeddings,
    bos_token_id: raw.bos_token_id ?? null,
    eos_token_id: [raw.eos_token_id ?? []].flat(),
    pad_token_id: raw.pad_token_id ?? null,
    rope: ropeOf(raw, where),
    quantized: isNf4(raw.quantization_config, where),
  };
}

function valueAt(json: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null)?.[key], json);
}

type Raw = z.infer<typeof configSchema>;

function ropeOf(raw: Raw, where: string): LlamaConfig['rope'] {
  const source = raw.rope_parameters ?? raw.rope_scaling;
  const theta = raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? 10_000;
  const type = source?.rope_type ?? source?.type ?? 'default';
  const need = <K extends keyof NonNullable<typeof source>>(key: K): number => {
    const value = source?.[key];
    if (typeof value !== 'number')
      throw new UserError(`${where}: RoPE type ${type} without ${String(key)}; add it to the file`);
    return value;
  };
  if (type === 'default') return { theta, scaling: null };
  if (type === 'linear') return { theta, scaling: { type, factor: need('factor') } };
  if (type === 'llama3') {
    const [low, high] = [need('low_freq_factor'), need('high_freq_factor')];
    if (high <= low)
      throw new UserError(
        `${where}: RoPE high_freq_factor ${high} is not above low_freq_factor ${low}; correct the file`,
      );
    return {
      theta,
      scaling: {
        type,
        factor: need('factor'),
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: need('original_max_position_embeddings'),
      },
    };
  }
  throw new UserError(
    `${where}: RoPE type ${type} is not supported, expected default, linear or llama3; use another base model`,
  );
}

function isNf4(quantization: Raw['quantization_config'], where: string): boolean {
  if (!quantization) return false;
  const { quant_method: method, bnb_4bit_quant_type: type, load_in_4bit: four, load_in_8bit: eight } = quantization;
  const kind = [method ?? 'without a method', eight ? '8-bit' : type].filter(Boolean).join(' ');
  if (method !== 'bitsandbytes' || !four || type !== 'nf4')
    throw new UserError(
      `${where}: quantization_config is ${clipped(kind, 60)}, expected bitsandbytes nf4; use an unquantised or bnb-4bit checkpoint`,
    );
  return true;
}

/**
 * config.json of a merged model in the form that transformers 4 and 5 both read: theta and scaling in the fields of
 * version 4, which version 5 converts on loading.
 *
 * @throws UserError for a scaling that only GGUF can express
 */
export function llamaConfigJson(
  config: LlamaConfig,
  dtype: 'float32' | 'float16' | 'bfloat16',
): Record<string, unknown> {
  const { rope, eos_token_id: eos, quantized: _, ...fields } = config;
  const { scaling } = rope;
  if (scaling?.type === 'factors')
    throw complain({
      where: 'config.json',
      got: 'RoPE frequency factors of a GGUF file that no rope_scaling gives',
      expected: 'no, linear or llama3 scaling',
      remedy: 'write the merged model as GGUF instead',
    });
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...fields,
    eos_token_id: eos.length === 1 ? eos[0] : eos.length === 0 ? null : eos,
    hidden_act: 'silu',
    attention_bias: false,
    attention_dropout: 0,
    mlp_bias: false,
    initializer_range: 0.02,
    pretraining_tp: 1,
    rope_theta: rope.theta,
    rope_scaling: scaling === null ? null : { ...scaling, type: undefined, rope_type: scaling.type },
    torch_dtype: dtype,
    use_cache: true,
  };
}

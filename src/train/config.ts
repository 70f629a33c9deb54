import { z } from 'zod';

const whole = (least: number, most: number) => z.number().int().min(least).max(most);
const text = z.string().min(1);
/** Counts beyond this are slips of the keyboard. */
const MANY = 1_000_000_000;

/**
 * Everything a training run is told, from a YAML recipe or flags; names as in transformers, PEFT and TRL.
 *
 * Each key has a default that suits QLoRA of a Llama on one GPU. The descriptions are the help text.
 */
export const trainConfigSchema = z.strictObject({
  model: text.describe('Hugging Face directory or GGUF file of the base model').default('models/tiny'),
  dataset: text.describe('conversations as JSON Lines, ShareGPT or OpenAI messages').default('data/tiny/train.jsonl'),
  output_dir: text.describe('where adapter, merged model and GGUF files go').default('outputs'),
  chat_template: z
    .enum(['chatml', 'llama-3.1', 'tokenizer'])
    .describe("how conversations become text; tokenizer: by the model's own template")
    .default('chatml'),
  train_on: z.enum(['assistant', 'all']).describe('which tokens are learned').default('assistant'),
  max_seq_length: whole(2, 2 ** 20)
    .describe('tokens in a row')
    .default(2048),
  on_overflow: z
    .enum(['error', 'truncate', 'skip'])
    .describe('what happens to conversations longer than max_seq_length')
    .default('error'),
  packing: z.boolean().describe('several conversations in one row, which do not see each other').default(true),
  precision: z
    .enum(['f32', 'mixed'])
    .describe('arithmetic; mixed: f16 products with f32 sums, residual stream, norms and loss')
    .default('mixed'),
  load_in_4bit: z.boolean().describe('base weights in NF4 with double quantisation (QLoRA)').default(true),
  r: whole(1, 8192).describe('LoRA rank').default(16),
  lora_alpha: z
    .number()
    .positive()
    .max(1e6)
    .describe('LoRA scaling: alpha/r, or alpha/sqrt(r) with use_rslora')
    .default(16),
  lora_dropout: z.number().min(0).lt(1).describe('dropout before the first LoRA matrix').default(0),
  use_rslora: z.boolean().describe('rank-stabilised scaling alpha/sqrt(r)').default(true),
  target_modules: z
    .union([z.array(text).min(1), text])
    .describe('linear layers that get an adapter: names, a regular expression for the whole name, or all-linear')
    .default(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']),
  modules_to_save: z.array(text).nullable().describe('modules trained as a whole: lm_head').default(null),
  per_device_train_batch_size: whole(1, 65536).describe('rows in a micro-batch').default(2),
  gradient_accumulation_steps: whole(1, 65536).describe('micro-batches in an optimiser step').default(4),
  num_train_epochs: z.number().positive().max(100_000).describe('passes over the data; may be a fraction').default(1),
  max_steps: z
    .union([z.literal(-1), whole(1, MANY)])
    .describe('optimiser steps; -1: as many as num_train_epochs makes')
    .default(-1),
  learning_rate: z.number().positive().max(100).describe('peak learning rate').default(2e-4),
  lr_scheduler_type: z.enum(['linear', 'cosine', 'constant']).describe('course after the warmup').default('linear'),
  warmup_steps: whole(0, MANY).describe('steps over which the rate rises from 0').default(5),
  warmup_ratio: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .describe('warmup as a part of all steps, instead of warmup_steps')
    .default(null),
  weight_decay: z.number().min(0).max(1000).describe('decoupled weight decay').default(0.01),
  optim: z
    .enum(['adamw_8bit', 'adamw_torch'])
    .describe('optimiser; adamw_8bit keeps its states in 2 bytes a parameter, adamw_torch in 8')
    .default('adamw_8bit'),
  adam_beta1: z.number().min(0).lt(1).describe('decay of the mean of gradients').default(0.9),
  adam_beta2: z.number().min(0).lt(1).describe('decay of the mean of squared gradients').default(0.999),
  adam_epsilon: z.number().min(1e-30).max(1).describe('added to the root of the mean square').default(1e-8),
  max_grad_norm: z.number().min(0).max(1e30).describe('gradients are clipped to this global norm; 0: not').default(1),
  gradient_checkpointing: z
    .enum(['auto', 'none', 'selective', 'full', 'offload'])
    .describe('what is computed again or kept in host memory to save memory; auto: the fastest that fits the device')
    .default('auto'),
  seed: whole(0, 2 ** 32 - 1)
    .describe('one seed for adapter, order of the data and dropout')
    .default(3407),
});

export type TrainConfig = z.infer<typeof trainConfigSchema>;
export type ConfigKey = keyof TrainConfig;

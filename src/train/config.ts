import { z } from 'zod';
import { UserError } from '../errors.ts';

const whole = z.number().int();

/**
 * Everything a training run is told, from a YAML recipe or flags; names as in transformers, PEFT and TRL.
 *
 * Each key has a default that suits QLoRA of a Llama on one GPU.
 */
export const trainConfigSchema = z.strictObject({
  model: z.string().describe('Hugging Face directory or GGUF file of the base model').default('models/tiny'),
  dataset: z.string().describe('ShareGPT JSONL file').default('data/tiny/train.jsonl'),
  output_dir: z.string().describe('where adapter and exports go').default('outputs'),
  chat_template: z
    .enum(['chatml', 'llama-3.1', 'tokenizer'])
    .describe('how conversations become text')
    .default('chatml'),
  train_on: z.enum(['assistant', 'all']).describe('which tokens are targets').default('assistant'),
  max_seq_length: whole.min(2).describe('tokens in a row').default(2048),
  on_overflow: z.enum(['error', 'truncate', 'skip']).describe('what happens to longer samples').default('error'),
  packing: z.boolean().describe('several samples in one row').default(true),
  precision: z.enum(['f32', 'mixed']).describe('mixed: f16 products, f32 sums').default('mixed'),
  load_in_4bit: z.boolean().describe('NF4 base weights with double quantisation').default(true),
  r: whole.min(1).describe('LoRA rank').default(16),
  lora_alpha: z.number().positive().describe('LoRA scaling numerator').default(16),
  lora_dropout: z.number().min(0).lt(1).describe('dropout before A').default(0),
  use_rslora: z.boolean().describe('scaling alpha/sqrt(r) instead of alpha/r').default(true),
  target_modules: z
    .union([z.array(z.string()).min(1), z.string()])
    .describe('names of linear layers, a regular expression, or all-linear')
    .default(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']),
  modules_to_save: z.array(z.string()).nullable().describe('modules trained as a whole').default(null),
  per_device_train_batch_size: whole.min(1).describe('rows in a micro-batch').default(2),
  gradient_accumulation_steps: whole.min(1).describe('micro-batches in an optimiser step').default(4),
  num_train_epochs: z.number().positive().describe('passes over the data').default(1),
  max_steps: whole.describe('optimiser steps; -1: as num_train_epochs says').default(-1),
  learning_rate: z.number().positive().describe('peak learning rate').default(2e-4),
  lr_scheduler_type: z.enum(['linear', 'cosine', 'constant']).describe('course after the warmup').default('linear'),
  warmup_steps: whole.min(0).describe('steps of linear warmup').default(5),
  weight_decay: z.number().min(0).describe('decoupled weight decay').default(0.01),
  optim: z.enum(['adamw_8bit', 'adamw_torch']).describe('adamw_torch keeps f32 states').default('adamw_8bit'),
  adam_beta1: z.number().min(0).lt(1).default(0.9),
  adam_beta2: z.number().min(0).lt(1).default(0.999),
  adam_epsilon: z.number().positive().default(1e-8),
  max_grad_norm: z.number().min(0).describe('global-norm clipping; 0: none').default(1),
  gradient_checkpointing: z
    .enum(['none', 'selective', 'full'])
    .describe('what the backward pass computes again')
    .default('selective'),
  seed: whole.min(0).describe('one seed for adapter, order and dropout').default(3407),
});

export type TrainConfig = z.infer<typeof trainConfigSchema>;

/**
 * Fills defaults and checks every value.
 *
 * @param where named in errors: a file or `command line`
 * @throws UserError naming the first key that is unknown or has a wrong value
 */
export function parseTrainConfig(values: unknown, where: string): TrainConfig {
  const result = trainConfigSchema.safeParse(values ?? {});
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const key = issue.path.join('.') || (issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : 'recipe');
  throw new UserError(
    `${where}: ${key}: ${issue.message}; see \`npx tsx train.ts train --help\` for the keys and their values`,
  );
}

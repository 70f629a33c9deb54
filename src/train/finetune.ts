import { CHAT_TEMPLATES, type ChatTemplate, ownTemplateName } from '../data/chat-template.ts';
import { packRows, type Row } from '../data/packing.ts';
import { Random } from '../data/random.ts';
import { readConversations } from '../data/sharegpt.ts';
import { countSteps, optimizerSteps } from '../data/steps.ts';
import { tokenizeDataset } from '../data/tokenize.ts';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { UserError } from '../errors.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { type PeftConfig, parsePeftConfig } from '../formats/peft-config.ts';
import { adapterTargets, attachAdapters, savedModules, type Trainable } from '../lora/attach.ts';
import { linearNames } from '../models/init.ts';
import type { Llama } from '../models/llama.ts';
import { loadLlama } from '../models/load.ts';
import { openWeights } from '../models/open-weights.ts';
import { AdamW } from '../optim/adamw.ts';
import { AdamW8bit } from '../optim/adamw8bit.ts';
import { schedule } from '../optim/schedules.ts';
import type { Device } from '../tensor/device.ts';
import type { TrainConfig } from './config.ts';
import { type StepReport, Trainer } from './trainer.ts';

/** A base model with fresh adapters, and what is needed to talk to it. */
export interface Session {
  model: Llama;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /** Null for a base model without adapters. */
  adapter: PeftConfig | null;
  trainables: Trainable[];
}

/** @throws UserError when the tokenizer has no template of its own */
export function templateOf(name: TrainConfig['chat_template'], tokenizer: Tokenizer): ChatTemplate {
  if (name !== 'tokenizer') return CHAT_TEMPLATES[name];
  if (tokenizer.chatTemplate === null)
    throw new UserError(
      `${tokenizer.directory}: its tokenizer has no chat template; set chat_template to ${Object.keys(CHAT_TEMPLATES).join(' or ')}`,
    );
  return { name: tokenizer.directory, source: tokenizer.chatTemplate };
}

/** Tokens that dawntune's own templates set turns apart with. */
const TURN_TOKENS: Readonly<Record<keyof typeof CHAT_TEMPLATES, readonly string[]>> = {
  chatml: ['<|im_start|>', '<|im_end|>'],
  'llama-3.1': ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
};

/** The token that ends a turn in one of dawntune's own templates, where the tokenizer has it. */
export function endOfTurn(template: ChatTemplate | null, tokenizer: Tokenizer): number | null {
  const name = ownTemplateName(template);
  return name && tokenizer.idOf(TURN_TOKENS[name].at(-1) as string);
}

/** What a user should know who combines a template with a tokenizer that lacks its tokens; null if it has them. */
export function templateWarning(template: ChatTemplate, tokenizer: Tokenizer): string | null {
  const name = ownTemplateName(template);
  if (name === null) return null;
  const missing = TURN_TOKENS[name].filter((token) => tokenizer.idOf(token) === null);
  if (missing.length === 0) return null;
  const fits = Object.entries(TURN_TOKENS).find(([, tokens]) =>
    tokens.every((token) => tokenizer.idOf(token) !== null),
  );
  const better = fits?.[0] ?? (tokenizer.chatTemplate === null ? null : 'tokenizer');
  const remedy = better === null ? 'use a model with a chat template' : `set chat_template to ${better}`;
  return `chat_template ${name}: the tokenizer in ${tokenizer.directory} has no ${missing.join(', ')}, so they become ordinary text and answers do not end by themselves; ${remedy}`;
}

/** PEFT's description of the adapters that a run trains. */
function adapterConfigOf(config: TrainConfig): PeftConfig {
  const { model, r, lora_alpha, lora_dropout, use_rslora, target_modules, modules_to_save } = config;
  return parsePeftConfig(
    {
      peft_type: 'LORA',
      base_model_name_or_path: model,
      r,
      lora_alpha,
      lora_dropout,
      use_rslora,
      target_modules,
      modules_to_save,
    },
    'train',
  );
}

/** A data set ready for training, and what the run will do with it. */
export interface TrainingData {
  /** The base model's configuration. */
  model: LlamaConfig;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  rows: Row[];
  samples: number;
  /** Conversations that lost their end. */
  truncated: number;
  /** Conversations left out. */
  skipped: number;
  steps: number;
}

/**
 * Reads, tokenises and packs the data set, and checks what else can be checked without the weights: everything that is
 * wrong with the input shows before minutes of loading.
 */
export async function openData(config: TrainConfig): Promise<TrainingData> {
  const { model: from, max_seq_length, train_on, on_overflow, packing, seed, dataset: file } = config;
  const tokenizer = loadTokenizer(from);
  const template = templateOf(config.chat_template, tokenizer);
  const source = await openWeights(from);
  await source.close();
  const model = source.config;
  const adapter = adapterConfigOf(config);
  adapterTargets(adapter, linearNames(model));
  savedModules(adapter);
  const conversations = readConversations(file);
  const { samples, truncated, skipped } = tokenizeDataset(tokenizer, template, conversations, {
    train_on,
    max_seq_length,
    on_overflow,
    file,
    model,
  });
  const rows = packRows(samples, { max_seq_length, packing, seed });
  return {
    model,
    tokenizer,
    template,
    rows,
    samples: samples.length,
    truncated,
    skipped,
    steps: countSteps(rows.length, config),
  };
}

/** Loads the base model and puts fresh adapters on. */
export async function openSession(
  device: Device,
  config: TrainConfig,
  { tokenizer, template }: Pick<TrainingData, 'tokenizer' | 'template'>,
): Promise<Session> {
  const adapter = adapterConfigOf(config);
  const model = await loadLlama(device, config.model, {
    precision: config.precision,
    load_in_4bit: config.load_in_4bit,
  });
  const random = new Random(config.seed);
  const trainables = attachAdapters(model, adapter, { uniform: () => random.uniform() });
  return { model, tokenizer, template, adapter, trainables };
}

/**
 * Fine-tunes the adapters of a session.
 *
 * @param report called after each step
 */
export async function finetune(
  { model, trainables }: Session,
  { rows, steps }: TrainingData,
  config: TrainConfig,
  report: (step: StepReport) => void,
): Promise<void> {
  const { adam_beta1, adam_beta2, adam_epsilon: eps, weight_decay, warmup_ratio, learning_rate } = config;
  const Optimizer = config.optim === 'adamw_8bit' ? AdamW8bit : AdamW;
  const optimizer = new Optimizer(trainables, { betas: [adam_beta1, adam_beta2], eps, weight_decay });
  const warmup = warmup_ratio === null ? { warmup_steps: config.warmup_steps } : { warmup_ratio };
  const trainer = new Trainer(model, {
    optimizer,
    rate: schedule(config.lr_scheduler_type, { learning_rate, max_steps: steps, ...warmup }),
    max_grad_norm: config.max_grad_norm,
    gradient_checkpointing: config.gradient_checkpointing,
    seed: config.seed,
  });
  try {
    for await (const step of trainer.steps(optimizerSteps(rows, config))) report(step);
  } finally {
    trainer.dispose();
    optimizer.dispose();
  }
}

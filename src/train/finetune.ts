import { CHAT_TEMPLATES, type ChatTemplate } from '../data/chat-template.ts';
import { packRows } from '../data/packing.ts';
import { Random } from '../data/random.ts';
import { readConversations } from '../data/sharegpt.ts';
import { countSteps, optimizerSteps } from '../data/steps.ts';
import { tokenizeDataset } from '../data/tokenize.ts';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { UserError } from '../errors.ts';
import { type PeftConfig, parsePeftConfig } from '../formats/peft-config.ts';
import { attachAdapters, type Trainable } from '../lora/attach.ts';
import type { Llama } from '../models/llama.ts';
import { loadLlama } from '../models/load.ts';
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

/** PEFT's description of the adapters that a run trains. */
export function adapterConfigOf(config: TrainConfig): PeftConfig {
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

/** Loads base model and tokenizer and puts fresh adapters on. */
export async function openSession(device: Device, config: TrainConfig): Promise<Session> {
  const tokenizer = loadTokenizer(config.model);
  const template = templateOf(config.chat_template, tokenizer);
  const adapter = adapterConfigOf(config);
  const model = await loadLlama(device, config.model, {
    precision: config.precision,
    load_in_4bit: config.load_in_4bit,
  });
  const random = new Random(config.seed);
  const trainables = attachAdapters(model, adapter, { uniform: () => random.uniform() });
  return { model, tokenizer, template, adapter, trainables };
}

/** What a training run will do, known before its first step. */
export interface Plan {
  samples: number;
  truncated: number;
  skipped: number;
  rows: number;
  steps: number;
  trainableParameters: number;
}

/**
 * Fine-tunes the adapters of a session on the configured data set.
 *
 * @param report called with the plan first, and then after each step
 */
export async function finetune(
  session: Session,
  config: TrainConfig,
  report: { plan: (plan: Plan) => void; step: (step: StepReport) => void },
): Promise<void> {
  const { model, tokenizer, template, trainables } = session;
  const { max_seq_length, train_on, on_overflow, packing, seed, dataset } = config;
  const conversations = await readConversations(dataset);
  const { samples, truncated, skipped } = tokenizeDataset(tokenizer, template, conversations, {
    train_on,
    max_seq_length,
    on_overflow,
    file: dataset,
  });
  const rows = packRows(samples, { max_seq_length, packing, seed });
  const steps = countSteps(rows.length, config);
  const trainableParameters = trainables.reduce((sum, { tensor }) => sum + tensor.size, 0);
  report.plan({ samples: samples.length, truncated, skipped, rows: rows.length, steps, trainableParameters });

  const Optimizer = config.optim === 'adamw_8bit' ? AdamW8bit : AdamW;
  const optimizer = new Optimizer(trainables, {
    betas: [config.adam_beta1, config.adam_beta2],
    eps: config.adam_epsilon,
    weight_decay: config.weight_decay,
  });
  const trainer = new Trainer(model, {
    optimizer,
    rate: schedule(config.lr_scheduler_type, {
      learning_rate: config.learning_rate,
      warmup_steps: config.warmup_steps,
      max_steps: steps,
    }),
    max_grad_norm: config.max_grad_norm,
    gradient_checkpointing: config.gradient_checkpointing,
    seed,
  });
  try {
    for (const microBatches of optimizerSteps(rows, config)) report.step(await trainer.step(microBatches));
  } finally {
    trainer.dispose();
    optimizer.dispose();
  }
}

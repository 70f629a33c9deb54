import type { ChatTemplate } from '../data/chat-template.ts';
import { packRows, type Row } from '../data/packing.ts';
import { readConversations } from '../data/sharegpt.ts';
import { countSteps } from '../data/steps.ts';
import { tokenizeDataset } from '../data/tokenize.ts';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { adapterTargets, savedModules } from '../lora/attach.ts';
import { linearNames } from '../models/init.ts';
import { openWeights } from '../models/open-weights.ts';
import type { TrainConfig } from './config.ts';
import { adapterConfigOf } from './open-trainer.ts';
import { templateOf } from './templates.ts';

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

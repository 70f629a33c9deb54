import { loadTokenizer } from '../data/tokenizer.ts';
import { UserError } from '../errors.ts';
import { readAdapter } from '../formats/peft.ts';
import { attachAdapters } from '../lora/attach.ts';
import type { Precision } from '../models/llama.ts';
import { loadLlama } from '../models/load.ts';
import type { Device } from '../tensor/device.ts';
import type { TrainConfig } from '../train/config.ts';
import type { Session } from '../train/finetune.ts';
import { chooseTemplate } from './choose-template.ts';

/** Where a model comes from. */
export interface ModelFlags {
  model: string;
  adapter?: string;
  precision: Precision;
  loadIn4bit: boolean;
  chatTemplate?: TrainConfig['chat_template'];
}

/** Loads a base model and, if named, an adapter. */
export async function loadSession(device: Device, flags: ModelFlags): Promise<Session> {
  const tokenizer = loadTokenizer(flags.model);
  const template = chooseTemplate(flags.chatTemplate, tokenizer, flags.adapter);
  const saved = flags.adapter ? await readAdapter(flags.adapter) : null;
  const model = await loadLlama(device, flags.model, { precision: flags.precision, load_in_4bit: flags.loadIn4bit });
  try {
    const trainables = saved ? attachAdapters(model, saved.config, { saved: saved.tensors }) : [];
    return { model, tokenizer, template, adapter: saved?.config ?? null, trainables };
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${flags.adapter}: ${error.message}`);
    throw error;
  }
}

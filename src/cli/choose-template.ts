import { existsSync } from 'node:fs';
import path from 'node:path';
import { CHAT_TEMPLATES, type ChatTemplate } from '../data/chat-template.ts';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import type { TrainConfig } from '../train/config.ts';
import { templateOf } from '../train/templates.ts';

/**
 * The chat template of a model: the one asked for, else the one that the adapter was trained with, which lies beside its
 * weights, else the tokenizer's own, else ChatML.
 */
export function chooseTemplate(
  name: TrainConfig['chat_template'] | undefined,
  tokenizer: Tokenizer,
  adapter: string | undefined,
): ChatTemplate {
  if (name !== undefined) return templateOf(name, tokenizer);
  const trained = adapter && existsSync(path.join(adapter, 'tokenizer.json')) ? loadTokenizer(adapter) : null;
  for (const { directory, chatTemplate } of [trained, tokenizer].filter((each) => each !== null))
    if (chatTemplate !== null) return { name: directory, source: chatTemplate };
  return CHAT_TEMPLATES.chatml;
}

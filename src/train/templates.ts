import { CHAT_TEMPLATES, type ChatTemplate, ownTemplateName } from '../data/chat-template.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { UserError } from '../errors.ts';
import type { TrainConfig } from './config.ts';

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

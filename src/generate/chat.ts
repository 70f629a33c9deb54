import { type ChatTemplate, type Message, renderChat } from '../data/chat-template.ts';
import { StreamDecoder } from '../data/stream-decoder.ts';
import { checkIds } from '../data/tokenize.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { Llama } from '../models/llama.ts';
import { type GenerateOptions, generate } from './generate.ts';

/** A model that can be talked to. */
export interface Speaker {
  model: Llama;
  tokenizer: Tokenizer;
  template: ChatTemplate;
}

/** What to say of an answer without text. */
export const ENDED_AT_ONCE = 'the model ended its answer at once';

/** Tokens that end an answer: the model's, the tokenizer's, and the ends of turns of the known chat formats. */
export function stopTokens({ model, tokenizer }: Speaker): number[] {
  const named = ['<|im_end|>', '<|eot_id|>', '<|end_of_text|>'].map((token) => tokenizer.idOf(token));
  const all = [...model.config.eos_token_id, tokenizer.eos?.id ?? null, ...named];
  return [...new Set(all.filter((id): id is number => id !== null))];
}

/** Token ids of a conversation up to the place where the assistant speaks. */
export function promptOf({ model, tokenizer, template }: Speaker, messages: readonly Message[]): number[] {
  const text = renderChat(template, messages, {
    add_generation_prompt: true,
    bos_token: tokenizer.bos?.text,
    eos_token: tokenizer.eos?.text,
  });
  const ids = tokenizer.encode(text);
  checkIds(ids, model.config.vocab_size, tokenizer, 'generate');
  return ids;
}

/** The assistant's answer to a conversation, in pieces of text as they come. */
export async function* streamAnswer(
  speaker: Speaker,
  messages: readonly Message[],
  options: GenerateOptions,
): AsyncGenerator<string> {
  const decoder = new StreamDecoder(speaker.tokenizer, { skipSpecial: true });
  const eos_token_id = options.eos_token_id ?? stopTokens(speaker);
  for await (const { token } of generate(speaker.model, [promptOf(speaker, messages)], { ...options, eos_token_id })) {
    const text = decoder.push(token);
    if (text !== '') yield text;
  }
  const rest = decoder.flush();
  if (rest !== '') yield rest;
}

/** Answers to several questions at once, each a conversation of its own. */
export async function answers(
  speaker: Speaker,
  questions: readonly string[],
  options: GenerateOptions,
): Promise<string[]> {
  const prompts = questions.map((content) => promptOf(speaker, [{ role: 'user', content }]));
  const tokens: number[][] = questions.map(() => []);
  const eos_token_id = options.eos_token_id ?? stopTokens(speaker);
  for await (const { sequence, token } of generate(speaker.model, prompts, { ...options, eos_token_id }))
    tokens[sequence].push(token);
  return tokens.map((ids) => speaker.tokenizer.decode(ids, { skipSpecial: true }));
}

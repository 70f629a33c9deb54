import { complain, UserError } from '../errors.ts';
import { type ChatTemplate, type Message, renderChat } from './chat-template.ts';
import type { Conversation } from './sharegpt.ts';
import { TokenPlaces } from './token-places.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The label of a token that is no target, as in PyTorch's cross entropy and all Hugging Face data. */
export const IGNORED = -100;

/**
 * One document: its ids, and for each the label that says whether the model learns to predict *this* token from those
 * before it (not shifted; the loss shifts). The first label is always {@link IGNORED}: nothing comes before it.
 */
export interface Sample {
  /** [length] */
  input_ids: Int32Array;
  /** [length]: the id itself, or {@link IGNORED}. */
  labels: Int32Array;
}

/** What the model learns to write: the assistant's turns with the token that ends them, or every token. */
export type TrainOn = 'assistant' | 'all';

/**
 * A conversation as ids and labels.
 *
 * Where the assistant speaks is found by rendering: the conversation up to a turn, with the header of an answer, is what
 * the model is given, and what the rendering with that turn adds is what it has to write. So content that looks like the
 * template cannot shift the mask. A token that holds some of an answer and some of what stands around it, as where an answer
 * begins with a line break, is learned (transformers' assistant mask has it so too). White space that a template puts after
 * the end of a turn is not.
 * @throws UserError when the template refuses the conversation or changes what it wrote for earlier turns, or when a token
 * across the border of an answer cannot be placed
 */
export function tokenizeConversation(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly Message[],
  { train_on }: { train_on: TrainOn },
): Sample {
  const special = { bos_token: tokenizer.bos?.text ?? '', eos_token: tokenizer.eos?.text ?? '' };
  const whole = renderChat(template, messages, special);
  const input_ids = Int32Array.from(tokenizer.encode(whole));
  const labels = train_on === 'all' ? input_ids.slice() : new Int32Array(input_ids.length).fill(IGNORED);
  if (train_on === 'assistant') {
    const places = new TokenPlaces(tokenizer, whole, input_ids);
    let ended = 0;
    messages.forEach(({ role }, i) => {
      if (role !== 'assistant') return;
      const given = renderChat(template, messages.slice(0, i), { ...special, add_generation_prompt: true });
      const answered = renderChat(template, messages.slice(0, i + 1), special);
      if (!answered.startsWith(given) || !whole.startsWith(answered) || given.length < ended) throw rewrites(template);
      ended = answered.length;
      if (ended === given.length) return;
      const from = places.firstFrom(given.length);
      const end = answered.trimEnd().length;
      let to = end > given.length ? places.afterLastBefore(end) : 0;
      // Behind the token that ends the turn only white space follows.
      if (to === 0 || !tokenizer.isSpecial(input_ids[to - 1])) to = places.afterLastBefore(ended);
      labels.set(input_ids.subarray(from, to), from);
    });
  }
  if (labels.length > 0) labels[0] = IGNORED;
  return { input_ids, labels };
}

function rewrites(template: ChatTemplate): UserError {
  return complain({
    where: `chat template ${template.name}`,
    got: 'a text for the first turns that is no beginning of the whole',
    expected: 'a template that appends turn by turn',
    remedy: "train on 'all', or choose another template ('chatml' or 'llama-3.1')",
  });
}

/** What to do with a conversation that is longer than the window: refuse the data, cut the end off, or leave it out. */
export type OnOverflow = 'error' | 'truncate' | 'skip';

/** The documents of a data set, and what happened to those that did not fit. */
export interface TokenizedDataset {
  samples: Sample[];
  /** Number of samples that lost their end. */
  truncated: number;
  /** Number of conversations left out: too long, or without a target (after cutting). */
  skipped: number;
}

/**
 * Tokenises a data set, one sample a conversation, in the same order.
 * @throws UserError naming `file:line` for what {@link tokenizeConversation} refuses and for a conversation longer than
 * `max_seq_length` tokens, or the model's window, with `on_overflow: 'error'`; naming the file when nothing is left
 */
export function tokenizeDataset(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  conversations: readonly Conversation[],
  options: {
    train_on: TrainOn;
    max_seq_length: number;
    on_overflow: OnOverflow;
    file: string;
    /** The model's limits; positions and ids beyond them mean nothing to it. */
    model?: { max_position_embeddings: number; vocab_size: number };
  },
): TokenizedDataset {
  const { train_on, on_overflow, file, model } = options;
  // Positions begin anew with every conversation: only its own length counts for the model, not that of its row.
  const ofModel = model !== undefined && model.max_position_embeddings < options.max_seq_length;
  const longest = ofModel ? model.max_position_embeddings : options.max_seq_length;
  const limit = `${ofModel ? "the model's max_position_embeddings" : 'max_seq_length'} = ${longest}`;
  const result: TokenizedDataset = { samples: [], truncated: 0, skipped: 0 };
  for (const { messages, line } of conversations) {
    let sample: Sample;
    try {
      sample = tokenizeConversation(tokenizer, template, messages, { train_on });
    } catch (error) {
      throw error instanceof UserError ? new UserError(`${file}:${line}: ${error.message}`) : error;
    }
    const { length } = sample.input_ids;
    if (model) checkIds(sample.input_ids, model.vocab_size, tokenizer, `${file}:${line}`);
    const tooLong = length > longest;
    if (tooLong && on_overflow === 'error') {
      throw complain({
        where: `${file}:${line}`,
        got: `a conversation of ${length} tokens`,
        expected: `at most ${limit}`,
        remedy: `${ofModel ? '' : 'raise max_seq_length, '}shorten the conversation, or set on_overflow to 'truncate' or 'skip'`,
      });
    }
    if (tooLong && on_overflow === 'truncate') {
      sample = {
        input_ids: sample.input_ids.slice(0, longest),
        labels: sample.labels.slice(0, longest),
      };
    }
    if ((tooLong && on_overflow === 'skip') || sample.labels.every((label) => label === IGNORED)) {
      result.skipped++;
      continue;
    }
    if (tooLong) result.truncated++;
    result.samples.push(sample);
  }
  if (result.samples.length > 0) return result;
  throw complain({
    where: file,
    got: `no conversation with a target within ${limit} (of ${conversations.length})`,
    expected: 'at least one',
    remedy: `${ofModel ? '' : 'raise max_seq_length, or '}give shorter conversations`,
  });
}

/** @throws UserError for a token that the model has no embedding for */
export function checkIds(ids: ArrayLike<number>, vocab_size: number, tokenizer: Tokenizer, where: string): void {
  for (let i = 0; i < ids.length; i++)
    if (ids[i] >= vocab_size)
      throw complain({
        where,
        got: `token ${JSON.stringify(tokenizer.decode([ids[i]]))} with id ${ids[i]} from the tokenizer in ${tokenizer.directory}`,
        expected: `ids below the model's vocab_size = ${vocab_size}`,
        remedy: 'use the tokenizer that belongs to the model',
      });
}

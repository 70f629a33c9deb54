import { UserError } from '../errors.ts';
import type { ChatTemplate, Message } from './chat-template.ts';
import type { Conversation } from './sharegpt.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A tokenised conversation; labels are input_ids where the model learns and −100 elsewhere, unshifted. */
export interface Sample {
  input_ids: Int32Array;
  labels: Int32Array;
}

/** Label of tokens that are no targets, as in PyTorch. */
const IGNORE_INDEX = -100;

export type TrainOn = 'assistant' | 'all';

/** A stretch of rendered text, and whether the model learns it. */
interface Piece {
  text: string;
  learn: boolean;
}

/**
 * Tokenises a conversation. With `train_on: 'assistant'` the targets are the assistant's words and the token that ends
 * its turn, but not the line break that the template puts after it: what the model has to produce, no more.
 *
 * @throws UserError when the template does not render turn by turn, or when tokens span the edge of a turn
 */
export function tokenizeConversation(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly Message[],
  train_on: TrainOn,
): Sample {
  const pieces = piecesOf(tokenizer, template, messages);
  const whole = tokenizer.encode(pieces.map(({ text }) => text).join(''));
  const ids: number[] = [];
  const labels: number[] = [];
  for (const { text, learn } of pieces)
    for (const id of tokenizer.encode(text)) {
      ids.push(id);
      labels.push(learn || train_on === 'all' ? id : IGNORE_INDEX);
    }
  if (ids.length !== whole.length || ids.some((id, i) => id !== whole[i]))
    throw new UserError(
      'chat template: a token spans the edge of a turn, so the assistant mask would be wrong; use a template whose turns begin and end with special tokens of the tokenizer',
    );
  // Nothing precedes the first token: it cannot be predicted.
  if (labels.length > 0) labels[0] = IGNORE_INDEX;
  return { input_ids: Int32Array.from(ids), labels: Int32Array.from(labels) };
}

/** Cuts the rendered conversation at the edges of the assistant's turns, by rendering growing prefixes of it. */
function piecesOf(tokenizer: Tokenizer, template: ChatTemplate, messages: readonly Message[]): Piece[] {
  const render = (count: number, add_generation_prompt: boolean) =>
    template.render(messages.slice(0, count), {
      add_generation_prompt,
      bos_token: tokenizer.bos,
      eos_token: tokenizer.eos,
    });
  const whole = render(messages.length, false);
  const pieces: Piece[] = [];
  let at = 0;
  const cutTo = (end: number, learn: boolean) => {
    pieces.push({ text: whole.slice(at, end), learn });
    at = end;
  };
  for (const [i, message] of messages.entries()) {
    if (message.role !== 'assistant') continue;
    const before = render(i, true);
    const after = render(i + 1, false);
    if (!whole.startsWith(before) || !whole.startsWith(after) || after.length < before.length || before.length < at)
      throw new UserError(
        `chat template: does not render turn ${i + 1} at the end of what precedes it; use another template`,
      );
    cutTo(before.length, false);
    // White space after the end-of-turn token separates turns and is not the assistant's.
    const spoken = after.slice(before.length);
    cutTo(before.length + spoken.trimEnd().length, true);
  }
  cutTo(whole.length, false);
  return pieces;
}

export interface TokenizeOptions {
  train_on: TrainOn;
  max_seq_length: number;
  /** What to do with a conversation that is longer: refuse the file, cut its end off, or leave it out. */
  on_overflow: 'error' | 'truncate' | 'skip';
  /** Named in errors. */
  file: string;
}

/**
 * Tokenises conversations for training.
 *
 * @throws UserError naming file and line of a conversation that is longer than the window
 */
export function tokenizeConversations(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  conversations: readonly Conversation[],
  { train_on, max_seq_length, on_overflow, file }: TokenizeOptions,
): Sample[] {
  const samples: Sample[] = [];
  for (const { messages, line } of conversations) {
    const sample = tokenizeConversation(tokenizer, template, messages, train_on);
    const length = sample.input_ids.length;
    if (length <= max_seq_length) samples.push(sample);
    else if (on_overflow === 'truncate')
      samples.push({
        input_ids: sample.input_ids.slice(0, max_seq_length),
        labels: sample.labels.slice(0, max_seq_length),
      });
    else if (on_overflow === 'error')
      throw new UserError(
        `${file}:${line}: has ${length} tokens, expected at most max_seq_length = ${max_seq_length}; raise max_seq_length or set on_overflow to truncate or skip`,
      );
  }
  if (samples.length === 0)
    throw new UserError(`${file}: no conversation fits max_seq_length = ${max_seq_length}; raise it`);
  return samples;
}

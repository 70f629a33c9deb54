import { noGrad } from '../autograd/recording.ts';
import { complain } from '../errors.ts';
import { KvCache } from '../models/kv-cache.ts';
import type { Llama } from '../models/llama.ts';
import { checkSampling, chooseToken, type Sampling } from './sampling.ts';

export interface GenerateOptions extends Sampling {
  /** Most tokens to add to each prompt. */
  max_new_tokens: number;
  /** Tokens that end a sequence; they are not yielded. */
  eos_token_id?: readonly number[];
  /** Numbers in [0, 1) for sampling; needed with do_sample. */
  uniform?: () => number;
}

/** One new token of one of the prompts. */
export interface NewToken {
  sequence: number;
  token: number;
}

/**
 * Continues prompts, yielding tokens as they come; sequences of a batch that have ended leave the others running.
 *
 * The keys and values of everything read stay on the device (KV cache), so that a step computes only new tokens.
 *
 * A sequence ends early when it fills the model's window (max_position_embeddings).
 *
 * @param prompts token ids, at least one each and fewer than the window
 * @throws UserError for prompts that are empty or too long, ids outside the vocabulary and options out of range
 */
export async function* generate(
  model: Llama,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): AsyncGenerator<NewToken> {
  checkSampling(options);
  const { max_new_tokens, eos_token_id = [], uniform = () => 0 } = options;
  const { config, device } = model;
  // The model has learned no positions beyond its window: a sequence that fills it ends.
  const window = config.max_position_embeddings;
  for (const [s, prompt] of prompts.entries()) {
    if (prompt.length === 0)
      throw complain({
        where: 'generate',
        got: `an empty prompt ${s}`,
        expected: 'at least one token',
        remedy: 'begin with the bos token',
      });
    if (prompt.length >= window)
      throw complain({
        where: 'generate',
        got: `a prompt of ${prompt.length} tokens`,
        expected: `fewer than the model's max_position_embeddings = ${window}`,
        remedy: 'shorten the question',
      });
  }
  if (!Number.isInteger(max_new_tokens) || max_new_tokens < 0)
    throw complain({
      where: 'generate: max_new_tokens',
      got: String(max_new_tokens),
      expected: 'a whole number from 0',
      remedy: 'change the option',
    });
  if (max_new_tokens === 0 || prompts.length === 0) return;

  const cache = new KvCache(device, {
    sequences: prompts.length,
    capacity: Math.min(window, Math.max(...prompts.map((prompt) => prompt.length)) + max_new_tokens),
    layers: config.num_hidden_layers,
    heads: config.num_key_value_heads,
    headSize: config.head_dim,
    dtype: model.compute,
  });
  try {
    const sequences = prompts.map((prompt) => [...prompt]);
    let pending: number[][] = prompts.map((prompt) => [...prompt]);
    for (let step = 0; step < max_new_tokens && pending.some((list) => list.length > 0); step++) {
      const reading = pending;
      const logits = await device.scopeAsync(async () => noGrad(() => model.next(reading, cache)).numbers());
      const width = config.vocab_size;
      let row = 0;
      pending = reading.map(() => []);
      for (const [s, list] of reading.entries()) {
        if (list.length === 0) continue;
        const own = logits.slice(row * width, ++row * width) as Float32Array;
        const token = chooseToken(own, options, sequences[s], uniform);
        if (eos_token_id.includes(token)) continue;
        sequences[s].push(token);
        if (sequences[s].length < window) pending[s] = [token];
        yield { sequence: s, token };
      }
    }
  } finally {
    cache.dispose();
  }
}

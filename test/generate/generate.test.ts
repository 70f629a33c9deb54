import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { type GenerateOptions, generate } from '../../src/generate/generate.ts';
import { batchOf } from '../../src/models/batch.ts';
import { loadLlama } from '../../src/models/load.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const model = await loadLlama(device, 'test/reference/llama-tiny', { precision: 'f32' });
afterAll(() => model.dispose());

async function tokensOf(prompts: number[][], options: GenerateOptions): Promise<number[][]> {
  const out: number[][] = prompts.map(() => []);
  for await (const { sequence, token } of generate(model, prompts, options)) out[sequence].push(token);
  return out;
}

/** Greedy without a cache: the whole sequence again for every token. */
async function recomputed(prompt: number[], count: number): Promise<number[]> {
  const sequence = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = await device.scopeAsync(async () =>
      model.logits(batchOf(device, [{ input_ids: sequence }])).numbers(),
    );
    const last = logits.slice(-model.config.vocab_size);
    sequence.push(last.indexOf(Math.max(...last)));
  }
  return sequence.slice(prompt.length);
}

const PROMPTS = [[5, 17, 300], [1], [400, 3, 99, 256, 12, 77, 8]];

describe('generate', () => {
  test('with the cache gives what recomputing everything gives', async () => {
    for (const prompt of PROMPTS)
      expect((await tokensOf([prompt], { max_new_tokens: 8 }))[0]).toEqual(await recomputed(prompt, 8));
  });

  test('a batch of prompts of different lengths gives what each gives alone', async () => {
    const together = await tokensOf(PROMPTS, { max_new_tokens: 10 });
    for (const [i, prompt] of PROMPTS.entries())
      expect(together[i]).toEqual((await tokensOf([prompt], { max_new_tokens: 10 }))[0]);
  });

  test('stops a sequence at an end token and goes on with the others', async () => {
    const free = await tokensOf(PROMPTS, { max_new_tokens: 10 });
    const end = free[0][3];
    const stopped = await tokensOf(PROMPTS, { max_new_tokens: 10, eos_token_id: [end] });
    for (const [i, tokens] of free.entries()) {
      const at = tokens.indexOf(end);
      expect(stopped[i]).toEqual(at < 0 ? tokens : tokens.slice(0, at));
    }
  });

  test('sampling repeats for a seed', async () => {
    const sample = (seed: number) => {
      const random = new Random(seed);
      return tokensOf([PROMPTS[0]], { max_new_tokens: 12, do_sample: true, uniform: () => random.uniform() });
    };
    expect(await sample(1)).toEqual(await sample(1));
    expect(await sample(1)).not.toEqual(await sample(2));
  });

  test('leaves no buffers behind, even when left early', async () => {
    const before = device.memory.live;
    for await (const _ of generate(model, [PROMPTS[0]], { max_new_tokens: 50 })) break;
    expect(device.memory.live).toBe(before);
  });

  test('a sequence that fills the window ends, and a prompt that does is refused', async () => {
    const { config } = model;
    const window = config.max_position_embeddings;
    config.max_position_embeddings = 10;
    try {
      const [short, long] = await tokensOf([PROMPTS[0], PROMPTS[2]], { max_new_tokens: 1_000_000_000 });
      expect([short.length, long.length]).toEqual([7, 3]);
      await expect(tokensOf([new Array(10).fill(1)], { max_new_tokens: 1 })).rejects.toThrow(
        /a prompt of 10 tokens, expected fewer than the model's max_position_embeddings = 10/,
      );
    } finally {
      config.max_position_embeddings = window;
    }
  });

  test.each([
    [[[]], { max_new_tokens: 3 }, /empty prompt 0/],
    [[[1]], { max_new_tokens: -1 }, /max_new_tokens: got -1/],
    [[[99999]], { max_new_tokens: 1 }, /99999/],
  ])('%j %j is refused', async (prompts, options, message) => {
    await expect(tokensOf(prompts as number[][], options)).rejects.toThrow(message);
  });
});

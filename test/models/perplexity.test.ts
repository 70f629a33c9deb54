import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { corpusDocument, textOf } from '../../recipes/tiny/corpus.ts';
import { Random } from '../../src/data/random.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { MIXES, type Mix } from '../../src/formats/gguf/mixes.ts';
import { batchOf } from '../../src/models/batch.ts';
import { loadLlama } from '../../src/models/load.ts';
import { mergedWeights } from '../../src/models/save.ts';
import { writeLlamaGguf } from '../../src/models/save-gguf.ts';
import { openLlama, skipReason } from '../oracle/llama.ts';
import { openModel } from '../oracle/llama-model.ts';
import { testDevice } from '../support/device.ts';

const MODEL = 'models/tiny';
/** Tokens that are read in one go, each from a fresh start. */
const WINDOW = 256;
const WINDOWS = 9;

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-perplexity-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const fileOf = (mix: Mix) => path.join(dir, `${mix}.gguf`);
const windows = textWindows();
let ours = Number.NaN;

/** Text that the tiny model has been trained on the like of, over 2,000 tokens. */
function textWindows(): number[][] {
  const random = new Random(77);
  const tokenizer = loadTokenizer(MODEL);
  const ids: number[] = [];
  while (ids.length < WINDOW * WINDOWS) ids.push(...tokenizer.encode(textOf(corpusDocument(random))));
  return Array.from({ length: WINDOWS }, (_, i) => ids.slice(i * WINDOW, (i + 1) * WINDOW));
}

/** exp of the mean cross-entropy of every token but the first of each window, in f64. */
function perplexity(logitsOf: (window: readonly number[]) => ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (const window of windows) {
    const logits = Array.from(logitsOf(window));
    const vocabulary = logits.length / window.length;
    for (let i = 1; i < window.length; i++) {
      const row = logits.slice((i - 1) * vocabulary, i * vocabulary);
      const largest = Math.max(...row);
      const total = row.reduce((all, x) => all + Math.exp(x - largest), 0);
      sum += Math.log(total) + largest - row[window[i]];
      count++;
    }
  }
  return Math.exp(sum / count);
}

async function perplexityOf(file: string): Promise<number> {
  const model = await openModel(file, WINDOW);
  const result = perplexity((window) => model.logits(window));
  model.close();
  return result;
}

describe.skipIf(skipReason !== '')(`perplexity in llama.cpp${skipReason}`, () => {
  beforeAll(async () => {
    const device = await testDevice();
    const model = await loadLlama(device, MODEL, { precision: 'f32' });
    const logits = new Map<readonly number[], ArrayLike<number>>();
    for (const window of windows)
      logits.set(
        window,
        await device.scopeAsync(async () => model.logits(batchOf(device, [{ input_ids: window }])).numbers()),
      );
    ours = perplexity((window) => logits.get(window) as ArrayLike<number>);
    await writeLlamaGguf({
      files: (Object.keys(MIXES) as Mix[]).map((mix) => ({ file: fileOf(mix), mix })),
      config: model.config,
      tokenizerDir: MODEL,
      chatTemplate: null,
      weights: mergedWeights(model),
    });
    model.dispose();
  });

  test.each(['f32', 'f16', 'bf16'] as const)('%s: as computed here', async (mix) => {
    const theirs = await perplexityOf(fileOf(mix));
    // bf16 keeps eight bits of weights that were trained in f16.
    expect(Math.abs(theirs / ours - 1)).toBeLessThan(mix === 'bf16' ? 0.02 : 0.005);
  });

  const quantised = (Object.keys(MIXES) as Mix[]).filter((mix) => !['f32', 'f16', 'bf16'].includes(mix));
  test.each(quantised)("%s: as with llama.cpp's own quantisation", async (mix) => {
    const file = path.join(dir, 'theirs.gguf');
    (await openLlama()).quantize(fileOf('f16'), file, { fileType: MIXES[mix].fileType });
    const theirs = await perplexityOf(file);
    expect(theirs).toBeGreaterThan(1);
    expect(Math.abs((await perplexityOf(fileOf(mix))) / theirs - 1)).toBeLessThan(0.001);
  });
});

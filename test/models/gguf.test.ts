import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { promptOf } from '../../src/generate/chat.ts';
import { generate } from '../../src/generate/generate.ts';
import { loadLlama } from '../../src/models/load.ts';
import { mergedWeights } from '../../src/models/save.ts';
import { writeLlamaGguf } from '../../src/models/save-gguf.ts';
import { templateOf } from '../../src/train/finetune.ts';
import { skipReason } from '../oracle/ggml.ts';
import { testDevice } from '../support/device.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-gguf-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const MODEL = 'models/tiny';
const QUESTIONS = ['Is 9.11 larger than 9.9?', 'Which is larger, 4.5 or 4.45?', 'Hello, who are you?'];
const TEXTS = [
  'Is 9.11 larger than 9.9?',
  '  two  spaces\n\n\tand tabs',
  "I'm 1234567 — naïve 🙂 日本",
  '<|im_start|>user\nhi<|im_end|>\n',
  'a'.repeat(40),
];

describe.skipIf(skipReason !== '')(`GGUF in llama.cpp${skipReason}`, () => {
  test.each(['f16', 'q8_0', 'f32'] as const)('%s', async (type) => {
    const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
    const device = await testDevice();
    const tokenizer = loadTokenizer(MODEL);
    const template = templateOf('chatml', tokenizer);
    const model = await loadLlama(device, MODEL, { precision: 'f32' });
    const file = path.join(dir, `${type}.gguf`);
    await writeLlamaGguf({
      files: [{ file, mix: type }],
      config: model.config,
      tokenizerDir: MODEL,
      chatTemplate: template.source,
      weights: mergedWeights(model),
    });

    const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 1 });
    const other = await llama.loadModel({ modelPath: file, useMmap: false });
    expect(other.fileInfo.metadata.general.architecture).toBe('llama');
    expect(other.fileInfo.metadata.tokenizer.chat_template).toBe(template.source);
    for (const text of TEXTS)
      expect([...other.tokenize(text, true)], JSON.stringify(text)).toEqual(tokenizer.encode(text));

    const context = await other.createContext({ contextSize: 512, batchSize: 64, threads: 1 });
    const sequence = context.getSequence();
    for (const question of QUESTIONS) {
      const prompt = promptOf({ model, tokenizer, template }, [{ role: 'user', content: question }]);
      const ours: number[] = [];
      for await (const { token } of generate(model, [prompt], { max_new_tokens: 32 })) ours.push(token);
      const theirs: number[] = [];
      await sequence.clearHistory();
      for await (const token of sequence.evaluate(prompt as unknown as Parameters<typeof sequence.evaluate>[0], {
        temperature: 0,
        yieldEogToken: true,
      })) {
        theirs.push(token as number);
        if (theirs.length === 32) break;
      }
      // Eight-bit weights may take another turn where two tokens are about equally likely; the first one is not such a place.
      const count = type === 'q8_0' ? 1 : 32;
      expect(theirs.slice(0, count), question).toEqual(ours.slice(0, count));
    }
    await context.dispose();
    await other.dispose();
    model.dispose();
  });
});

import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Llama as LlamaCpp } from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHAT_TEMPLATES, type Message, renderChat } from '../../src/data/chat-template.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { MIXES, type Mix } from '../../src/formats/gguf/mixes.ts';
import { promptOf } from '../../src/generate/chat.ts';
import { generate } from '../../src/generate/generate.ts';
import type { Llama } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { mergedWeights } from '../../src/models/save.ts';
import { writeLlamaGguf } from '../../src/models/save-gguf.ts';
import { templateOf } from '../../src/train/templates.ts';
import { skipReason } from '../oracle/ggml.ts';
import { testDevice } from '../support/device.ts';
import { randomConfig, randomWeights } from '../support/random-llama.ts';
import { writeTinyTokenizer } from '../support/tiny-tokenizer.ts';
import { TRICKY_TEXTS } from '../support/tricky-texts.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-gguf-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const MODEL = 'models/tiny';
const ALL = Object.keys(MIXES) as Mix[];
const QUESTIONS = ['Is 9.11 larger than 9.9?', 'Which is larger, 4.5 or 4.45?', 'Hello, who are you?'];
const CONVERSATION: Message[] = [
  { role: 'system', content: 'Answer briefly.' },
  { role: 'user', content: 'Is 9.11 larger than 9.9?' },
  { role: 'assistant', content: 'No, 9.11 is smaller than 9.9.' },
  { role: 'user', content: "And 4.5,\nI'd say, than 4.45?" },
];

const fileOf = (mix: Mix) => path.join(dir, `${mix}.gguf`);
const tokenizer = loadTokenizer(MODEL);
const template = templateOf('chatml', tokenizer);
let model: Llama;

let llama: Promise<LlamaCpp> | null = null;

async function openInLlamaCpp(modelPath: string) {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
  llama ??= getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 1 });
  return (await llama).loadModel({ modelPath, useMmap: false });
}

describe.skipIf(skipReason !== '')(`GGUF in llama.cpp${skipReason}`, () => {
  beforeAll(async () => {
    model = await loadLlama(await testDevice(), MODEL, { precision: 'f32' });
    await writeLlamaGguf({
      files: ALL.map((mix) => ({ file: fileOf(mix), mix })),
      config: model.config,
      tokenizerDir: MODEL,
      chatTemplate: template.source,
      weights: mergedWeights(model),
    });
  });
  afterAll(() => model.dispose());

  test.each(ALL)('%s: loads, with equal tokens', async (mix) => {
    const other = await openInLlamaCpp(fileOf(mix));
    expect(other.fileInfo.metadata.general.architecture).toBe('llama');
    expect(other.fileInfo.metadata.general.file_type).toBe(MIXES[mix].fileType);
    expect(other.fileInfo.metadata.tokenizer.chat_template).toBe(template.source);
    for (const text of TRICKY_TEXTS)
      expect([...other.tokenize(text, true)], JSON.stringify(text)).toEqual(tokenizer.encode(text));
    await other.dispose();
  });

  test.each(['f32', 'f16', 'q8_0'] as const)('%s: goes on as the model does here', async (mix) => {
    const other = await openInLlamaCpp(fileOf(mix));
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
      const count = mix === 'q8_0' ? 1 : 32;
      expect(theirs.slice(0, count), question).toEqual(ours.slice(0, count));
    }
    await context.dispose();
    await other.dispose();
  });

  test.each(['chatml', 'llama-3.1'] as const)('the %s template gives equal tokens', async (name) => {
    const tokenizerDir = writeTinyTokenizer(path.join(dir, 'tokenizer'));
    const tokenizer = loadTokenizer(tokenizerDir);
    const template = CHAT_TEMPLATES[name];
    const config = randomConfig({ hidden: 64, wide: 64, layers: 1 });
    const file = path.join(dir, `${name}.gguf`);
    const weights = randomWeights(config);
    await writeLlamaGguf({
      files: [{ file, mix: 'f32' }],
      config,
      tokenizerDir,
      chatTemplate: template.source,
      weights,
    });
    const other = await openInLlamaCpp(file);
    // The tokenizer puts its first token before texts; a conversation in ChatML was learned without it.
    expect(other.tokens.shouldPrependBosToken).toBe(name === 'llama-3.1');

    const { JinjaTemplateChatWrapper } = await import('node-llama-cpp');
    const wrapper = new JinjaTemplateChatWrapper({
      template: other.fileInfo.metadata.tokenizer.chat_template as string,
    });
    const { contextText } = wrapper.generateContextState({
      chatHistory: [
        ...CONVERSATION.map(({ role, content }) =>
          role === 'assistant'
            ? { type: 'model' as const, response: [content] }
            : { type: role as 'system' | 'user', text: content },
        ),
        { type: 'model', response: [] },
      ],
    });
    const special = { bos_token: tokenizer.bos?.text, eos_token: tokenizer.eos?.text };
    const text = renderChat(template, CONVERSATION, { ...special, add_generation_prompt: true });
    expect([...contextText.tokenize(other.tokenizer)] as number[]).toEqual(tokenizer.encode(text));
    await other.dispose();
  });

  test('a divided model loads by its first file', async () => {
    const file = path.join(dir, 'parts', 'model.gguf');
    mkdirSync(path.dirname(file));
    const written = await writeLlamaGguf({
      files: [{ file, mix: 'q8_0' }],
      config: model.config,
      tokenizerDir: MODEL,
      chatTemplate: template.source,
      weights: mergedWeights(model),
      splitMaxBytes: 50_000,
    });
    expect(written.length).toBeGreaterThan(3);
    expect(readdirSync(path.dirname(file)).sort()).toEqual(written.map((part) => path.basename(part)).sort());
    const [whole, parts] = [await openInLlamaCpp(fileOf('q8_0')), await openInLlamaCpp(written[0])];
    expect(parts.size).toBe(whole.size);
    const answers = await Promise.all(
      [whole, parts].map(async (other) => {
        const context = await other.createContext({ contextSize: 64, threads: 1 });
        const sequence = context.getSequence();
        const prompt = tokenizer.encode(QUESTIONS[0]) as unknown as Parameters<typeof sequence.evaluate>[0];
        const tokens: number[] = [];
        for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
          tokens.push(token as number);
          if (tokens.length === 16) break;
        }
        return tokens;
      }),
    );
    expect(answers[1]).toEqual(answers[0]);
  });
});

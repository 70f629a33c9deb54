import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { chooseTemplate } from '../../src/cli/choose-template.ts';
import { CHAT_TEMPLATES } from '../../src/data/chat-template.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { loadLlama } from '../../src/models/load.ts';
import { copyTokenizer, saveMerged } from '../../src/models/save.ts';
import { testDevice } from '../support/device.ts';
import { temporaryDirectory } from '../support/model-files.ts';

const MODEL = 'models/tiny';
const { source: LLAMA } = CHAT_TEMPLATES['llama-3.1'];

/** A copy of the tiny model with some of its files replaced. */
function modelWith(files: Record<string, string>): string {
  const dir = temporaryDirectory();
  cpSync(MODEL, dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, name), text);
  return dir;
}

test.each([
  ['in tokenizer_config.json', {}],
  ['in a file of its own', { 'chat_template.jinja': 'old' }],
])('the template of training takes the place of one %s', (_, files) => {
  const to = temporaryDirectory();
  copyTokenizer(modelWith(files), to, LLAMA);
  const tokenizer = loadTokenizer(to);
  expect(tokenizer.chatTemplate).toBe(LLAMA);
  expect(tokenizer.encode('Is 9.11')).toEqual(loadTokenizer(MODEL).encode('Is 9.11'));
  expect(tokenizer.eos).toEqual(loadTokenizer(MODEL).eos);
});

test('a model speaks by the template asked for, its adapter’s, its own, or ChatML', () => {
  const adapter = temporaryDirectory();
  copyTokenizer(MODEL, adapter, LLAMA);
  const own = loadTokenizer(modelWith({ 'chat_template.jinja': 'own' }));
  const none = loadTokenizer(modelWith({ 'tokenizer_config.json': '{}' }));
  expect(chooseTemplate('chatml', own, adapter).source).toBe(CHAT_TEMPLATES.chatml.source);
  expect(chooseTemplate(undefined, own, adapter).source).toBe(LLAMA);
  expect(chooseTemplate(undefined, own, undefined).source).toBe('own');
  expect(chooseTemplate(undefined, own, temporaryDirectory()).source).toBe('own');
  expect(chooseTemplate(undefined, none, undefined).source).toBe(CHAT_TEMPLATES.chatml.source);
});

test('generation settings of the base model stay, and the end of a turn ends an answer', async () => {
  const settings = { bos_token_id: 507, eos_token_id: 508, do_sample: true, temperature: 0.6, top_p: 0.9 };
  const base = modelWith({ 'generation_config.json': JSON.stringify(settings) });
  const model = await loadLlama(await testDevice(), base, { precision: 'f32' });
  const saved = async (endOfTurn: number | null) => {
    const dir = temporaryDirectory();
    await saveMerged(model, dir, { dtype: 'float16', tokenizerDir: base, endOfTurn });
    return JSON.parse(readFileSync(path.join(dir, 'generation_config.json'), 'utf8'));
  };
  expect(await saved(null)).toEqual(settings);
  expect(await saved(508)).toEqual(settings);
  expect(await saved(510)).toEqual({ ...settings, eos_token_id: [508, 510] });
  model.dispose();
});

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { command } from '../support/command.ts';
import { copyOf, editJson, type Json, temporaryDirectory } from '../support/model-files.ts';

const ask = (...flags: string[]) => command('generate', 'Is 1 larger than 2?', '--precision', 'f32', ...flags);

test('an answer is streamed; --max-new-tokens 0 gives none', async () => {
  const some = await ask('--max-new-tokens', '3', '--temperature', '1', '--top_p=0.9', '--seed', '4294967295');
  expect([some.code, some.err]).toEqual([0, []]);
  expect(some.out).toMatch(/\n$/);
  const none = await ask('--max-new-tokens', '0');
  expect([none.code, none.out, none.err]).toEqual([0, '\n', []]);
});

test('of an answer that is empty it is said that the model ended it at once', async () => {
  // The embedded model has not learned to answer.
  const { code, out, err } = await command('generate', 'Is 9.11 larger than 9.9?', '--precision', 'f32');
  expect([code, out, err]).toEqual([0, '\n', ['the model ended its answer at once']]);
});

describe('one line and exit code 1 for', () => {
  test.each<[string[], RegExp]>([
    [['--max-new-tokens', '-1'], /--max-new-tokens: got -1, expected a whole number from 0/],
    [['--max-new-tokens', '1.5'], /--max-new-tokens: got 1.5/],
    [['--temperature', '-1'], /temperature: got -1, expected a number above 0/],
    [['--temperature', 'NaN'], /--temperature: got NaN, expected a number/],
    [['--temperature', 'Infinity'], /--temperature: got Infinity/],
    [['--temperature', ''], /--temperature: got , expected a number/],
    [['--temperature', '1', '--top-p', '0'], /top_p: got 0/],
    [['--temperature', '1', '--top-p', '1.1'], /top_p: got 1.1/],
    [['--temperature', '1', '--top-k', '1.5'], /top_k: got 1.5/],
    [['--temperature', '1', '--min-p', '2'], /min_p: got 2/],
    [['--repetition-penalty', '0'], /repetition_penalty: got 0/],
    [['--seed', '1.5'], /--seed: got 1.5/],
    [['--seed', '4294967296'], /--seed: got 4294967296/],
    [['--adapter', '/nowhere'], /\/nowhere\/adapter_config.json: missing/],
    [
      ['--model', 'models/tiny', '--adapter', 'test/reference/peft-lora'],
      /^error: test\/reference\/peft-lora: LoRA of model\.layers\.0/,
    ],
  ])('%j', async (flags, message) => {
    const { code, out, err } = await ask(...flags);
    expect([code, out, err.length]).toEqual([1, '', 1]);
    expect(err[0]).toMatch(message);
  });

  test('a part of a split model other than the first', async () => {
    const dir = temporaryDirectory();
    const split = await command('export', '--out', dir, '--gguf', 'q8_0', '--split-max-size', '150K');
    expect(split.out).toContain('model-q8_0-00002-of-00002.gguf');
    const part = (index: number) => path.join(dir, `model-q8_0-0000${index}-of-00002.gguf`);
    const { code, out, err } = await ask('--model', part(2));
    expect([code, out, err.length]).toEqual([1, '', 1]);
    expect(err[0]).toMatch(
      /00002-of-00002\.gguf: got part 2 of a model split into 2 files, expected the first part, named model-q8_0-00001-of-00002\.gguf; /,
    );
    expect((await ask('--model', part(1), '--max-new-tokens', '1')).code).toBe(0);
  });

  test.each([
    ['adapter.gguf', 'a GGUF file'],
    ['adapter.txt', 'a file'],
  ])('an adapter that is a file, %s', async (name, got) => {
    const file = path.join(temporaryDirectory(), name);
    writeFileSync(file, 'x');
    for (const model of [[], ['--model', 'models/tiny']]) {
      const { code, err } = await ask('--adapter', file, ...model);
      expect([code, err]).toEqual([
        1,
        [
          `error: ${file}: got ${got}, expected an adapter's directory; pass the directory that adapter_config.json and adapter_model.safetensors are in`,
        ],
      ]);
    }
  });

  test('a question longer than the window', async () => {
    const { code, err } = await command('generate', 'a b '.repeat(1500), '--precision', 'f32');
    expect(code).toBe(1);
    expect(err[0]).toMatch(/a prompt of \d+ tokens, expected fewer than the model's max_position_embeddings = 1024/);
  });

  test('a tokenizer of another model', async () => {
    const model = copyOf('models/tiny');
    const shift = (json: Json) => {
      for (const token in json.model.vocab) json.model.vocab[token] += 1000;
    };
    editJson(`${model}/tokenizer.json`, shift);
    const { code, err } = await ask('--model', model);
    expect(code).toBe(1);
    expect(err.at(-1)).toMatch(/generate: got token .* from the tokenizer in .*, expected ids below .* = 512/);
  });
});

test('doctor tells everything that kernels are chosen by', async () => {
  const { code, out } = await command('doctor');
  expect(code).toBe(0);
  for (const row of ['adapter', 'driver', 'kind', 'features', 'f16 arithmetic', 'subgroups', 'matrix units', 'memory'])
    expect(out).toMatch(new RegExp(`^${row} +\\S`, 'm'));
  for (const row of [
    'largest binding',
    'workgroup memory',
    'f16 products',
    'f32 products',
    'NF4 weights',
    'attention',
    'host',
  ])
    expect(out).toMatch(new RegExp(`^${row} +\\S`, 'm'));
});

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { trainConfigOf } from '../../src/cli/train-options.ts';
import { UserError } from '../../src/errors.ts';
import { temporaryDirectory } from '../support/model-files.ts';

const RECIPES = readdirSync('recipes').filter((name) => name.endsWith('.yaml'));

test('there are recipes', () => expect(RECIPES.length).toBeGreaterThan(1));

describe.each(RECIPES)('%s', (name) => {
  const file = path.join('recipes', name);

  test('is valid', () => {
    expect(trainConfigOf({}, file).r).toBeGreaterThan(0);
  });

  test('says of every knob what it costs', () => {
    const lines = readFileSync(file, 'utf8').split('\n');
    const bare = lines.filter((line, i) => /^\w/.test(line) && !lines[i - 1]?.startsWith('#'));
    expect(bare).toEqual([]);
  });
});

describe('a recipe', () => {
  const file = path.join(temporaryDirectory(), 'r.yaml');
  const read = (text: string | Buffer, flags: Record<string, unknown> = {}) => {
    writeFileSync(file, text);
    return trainConfigOf(flags, file);
  };

  test('gives way to flags', () => {
    expect(read('r: 4\nseed: 7\n', { r: '8' })).toMatchObject({ r: 8, seed: 7 });
  });

  test.each<[string, string | Buffer, RegExp]>([
    [
      'an unknown key',
      'r: 1\n\n# note\nlearning_rat: 3\n',
      /r\.yaml:4: unknown key "learning_rat"; here it is called learning_rate/,
    ],
    ["another program's key", 'lora_r: 8\n', /r\.yaml:1: unknown key "lora_r"; here it is called r$/],
    ['a key of nowhere', 'q: 8\n', /unknown key "q"; see `npx tsx train.ts train --help`/],
    [
      'a value of another type',
      'seed: 1\nr: "16"\n',
      /r\.yaml:2: got "16", expected a whole number from 1 to 8192; correct r/,
    ],
    ['a value out of range', 'seed: 1\nlora_dropout: 1\n', /r\.yaml:2: got 1, expected a number from 0 below 1/],
    ['names that are numbers', 'target_modules: [1, 2]\n', /r\.yaml:1: got \[1,2\], expected a list of names or text/],
    ['no value', 'seed:\n', /r\.yaml:1: got null, expected a whole number/],
    ['a key twice', 'r: 1\nr: 2\n', /r\.yaml:2: is no YAML \(Map keys must be unique\)/],
    ['an open bracket', 'r: 1\ntarget_modules: [q_proj,\n', /r\.yaml:\d: is no YAML/],
    ['a tag', 'r: !x 1\n', /r\.yaml:1: is no YAML \(Unresolved tag/],
    ['two documents', 'r: 1\n---\nr: 2\n', /r\.yaml:2: is no YAML/],
    ['a list', '- r\n', /got something else, expected lines of keys and values/],
    ['nothing', '', /got an empty file/],
    ['no text', Buffer.from([0x72, 0xff]), /is no UTF-8 text/],
    ['a checkpoint', Buffer.alloc(2_000_000), /got 2000000 bytes, expected a YAML recipe/],
    [
      'references without end',
      `a: &a [${'x,'.repeat(9)}x]\n${[...'bcdefg'].map((key, i) => `${key}: &${key} [${`*${'abcdef'[i]},`.repeat(9)}x]`).join('\n')}\n`,
      /is no YAML \(Excessive alias count/,
    ],
  ])('with %s is refused with its line', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
    expect(() => read(text)).toThrow(UserError);
  });

  test('that is missing or a directory is refused', () => {
    expect(() => trainConfigOf({}, '/nowhere/r.yaml')).toThrow(/^\/nowhere\/r\.yaml: does not exist/);
    expect(() => trainConfigOf({}, 'recipes')).toThrow(/^recipes: is a directory/);
  });
});

describe('a flag', () => {
  test.each<[string, string | boolean, Record<string, unknown>]>([
    ['targetModules', 'q_proj,v_proj', { target_modules: ['q_proj', 'v_proj'] }],
    ['targetModules', '[q_proj, v_proj]', { target_modules: ['q_proj', 'v_proj'] }],
    ['targetModules', 'all-linear', { target_modules: 'all-linear' }],
    ['targetModules', '.*\\.(1|2){1,2}\\..*proj', { target_modules: '.*\\.(1|2){1,2}\\..*proj' }],
    ['targetModules', '[qv]_proj', { target_modules: '[qv]_proj' }],
    ['modulesToSave', 'lm_head', { modules_to_save: ['lm_head'] }],
    ['modulesToSave', 'null', { modules_to_save: null }],
    ['loadIn4bit', true, { load_in_4bit: true }],
    ['packing', false, { packing: false }],
    ['packing', 'false', { packing: false }],
    ['outputDir', '2024', { output_dir: '2024' }],
    ['learningRate', '2e-4', { learning_rate: 2e-4 }],
    ['warmupRatio', '0.1', { warmup_ratio: 0.1 }],
  ])('%s %j', (name, value, expected) => {
    expect(trainConfigOf({ [name]: value }, undefined)).toMatchObject(expected);
  });
});

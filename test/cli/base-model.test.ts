import { cpSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { baseModel } from '../../src/cli/base-model.ts';
import { UserError } from '../../src/errors.ts';
import { GgufFile } from '../../src/formats/gguf/reader.ts';
import { command } from '../support/command.ts';
import { copyOf, editJson, set, temporaryDirectory } from '../support/model-files.ts';

/** A copy of an adapter of `test/reference/llama-tiny` that names this base. */
function adapterOf(base: string | null): string {
  const dir = copyOf('test/reference/peft-lora');
  editJson(path.join(dir, 'adapter_config.json'), set(['base_model_name_or_path'], base));
  return dir;
}

describe('the base model', () => {
  test('is the one given, whatever the adapter names', () => {
    expect(baseModel({ model: 'x', adapter: '/nowhere' })).toBe('x');
    expect(baseModel({ model: 'x' })).toBe('x');
  });

  test('is the one that the adapter names, from the current directory', () => {
    for (const base of ['test/reference/llama-tiny', path.resolve('test/reference/llama-tiny')])
      expect(baseModel({ adapter: adapterOf(base) })).toBe(base);
  });

  test('is the embedded one without an adapter', () => expect(baseModel({})).toBe('models/tiny'));

  test.each<[string | null, string]>([
    ['meta-llama/Llama-3.1-8B', 'an adapter of the base model meta-llama/Llama-3.1-8B, which does not exist here'],
    [null, 'an adapter that names no base model'],
    ['', 'an adapter that names no base model'],
  ])('is refused where an adapter names %j', (base, got) => {
    const adapter = adapterOf(base);
    const find = () => baseModel({ adapter });
    expect(find).toThrow(UserError);
    expect(find).toThrow(`${adapter}: got ${got}, expected `);
    expect(find).toThrow(/; give the base model with --model$/);
  });
});

describe('without --model', () => {
  const out = temporaryDirectory();

  test('export and generate use the base of the adapter', async () => {
    const base = copyOf('test/reference/llama-tiny');
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      cpSync(path.join('models/tiny', name), path.join(base, name));
    // It has other widths than models/tiny, so that this adapter fits on no other.
    const adapter = adapterOf(base);
    expect(await command('export', '--adapter', adapter, '--gguf', 'f16', '--out', out)).toMatchObject({ code: 0 });
    const written = await GgufFile.open(path.join(out, 'model-f16.gguf'));
    expect(written.metadata.string('general.name')).toBe(path.basename(base));
    await written.close();
    const asked = await command('generate', 'a', '--adapter', adapter, '--precision', 'f32', '--max-new-tokens', '1');
    expect([asked.code, asked.err]).toEqual([0, []]);
  });

  test.each(['export', 'generate'])('%s refuses an adapter whose base is not here, in one line', async (name) => {
    const words = name === 'export' ? ['--gguf', 'f16', '--out', out] : ['a question'];
    const { code, err, out: printed } = await command(name, ...words, '--adapter', adapterOf('org/model'));
    expect([code, printed, err.length]).toEqual([1, '', 1]);
    expect(err[0]).toMatch(/^error: .*org\/model, which does not exist here, .*--model$/);
  });

  test.each(['export', 'generate'])('%s --help says so', async (name) => {
    const { out: help } = await command(name, '--help');
    expect(help.replace(/\s+/g, ' ')).toContain('(default: the one that the adapter names, else models/tiny)');
  });
});

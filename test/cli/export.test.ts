import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { exportCommand, ggufTypes } from '../../src/cli/export.ts';
import { runProgram } from '../../src/cli/run.ts';
import { MIXES } from '../../src/formats/gguf/mixes.ts';
import { GgufFile } from '../../src/formats/gguf/reader.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'dawntune-export-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());
const freshDir = () => mkdtempSync(path.join(root, 'case-'));

/** Runs `export` with these words; what it printed and its exit code. */
async function run(...words: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const [out, err]: string[][] = [[], []];
  vi.spyOn(console, 'log').mockImplementation((line: string) => void out.push(line));
  vi.spyOn(console, 'error').mockImplementation((line: string) => void err.push(line));
  const code = await runProgram(new Command('train.ts').addCommand(exportCommand()), [
    'node',
    'train.ts',
    'export',
    ...words,
  ]);
  return { code, out, err };
}

test('kinds are read without regard to case, each once', () => {
  expect(ggufTypes('Q4_K_M, q8_0,F16,q8_0')).toEqual(['q4_k_m', 'q8_0', 'f16']);
  expect(ggufTypes(Object.keys(MIXES).join(','))).toEqual(Object.keys(MIXES));
  expect(ggufTypes(undefined)).toEqual([]);
});

describe('what is written', () => {
  test('several kinds, with a Modelfile', async () => {
    const dir = path.join(freshDir(), 'deep', 'er');
    const { code, out, err } = await run('--model', 'models/tiny', '--out', dir, '--gguf', 'Q4_K_M,bf16');
    expect(code).toBe(0);
    // The tiny model's rows are shorter than a block of q4_k.
    expect(err).toEqual([
      'warning: model-q4_k_m: 28 of 29 matrices have rows that are no multiple of a block, and take other types: q5_0 instead of q4_k (24), q8_0 instead of q6_k (4)',
    ]);
    const names = ['model-q4_k_m.gguf', 'model-bf16.gguf', 'Modelfile'];
    expect(out).toEqual(names.map((name) => `wrote ${path.join(dir, name)}`));
    expect(readdirSync(dir).sort()).toEqual(names.sort());
    expect(readFileSync(path.join(dir, 'Modelfile'), 'utf8')).toMatch(/^FROM \.\/model-q4_k_m\.gguf\n/);
    const gguf = await GgufFile.open(path.join(dir, 'model-q4_k_m.gguf'));
    expect(gguf.metadata.string('general.name')).toBe('tiny');
    expect(gguf.metadata.whole('general.file_type')).toBe(15);
    await gguf.close();
  });

  test('a GGUF file again as another kind: the bytes of the tensors are those from the weights', async () => {
    const [first, second] = [freshDir(), freshDir()];
    expect((await run('--model', 'models/tiny', '--out', first, '--gguf', 'f16,q5_k_m')).code).toBe(0);
    const again = await run('--model', path.join(first, 'model-f16.gguf'), '--out', second, '--gguf', 'q5_k_m');
    expect(again.code).toBe(0);
    const [a, b] = await Promise.all([first, second].map((dir) => GgufFile.open(path.join(dir, 'model-q5_k_m.gguf'))));
    expect(b.names).toEqual(a.names);
    for (const name of a.names) {
      const [ours, theirs] = [await a.bytes(name), await b.bytes(name)];
      expect(Buffer.from(ours).equals(theirs), name).toBe(true);
    }
    expect(b.metadata.strings('tokenizer.ggml.tokens')).toEqual(a.metadata.strings('tokenizer.ggml.tokens'));
    await a.close();
    await b.close();
  });

  test('parts, which Ollama does not take', async () => {
    const dir = freshDir();
    const words = ['--model', 'models/tiny', '--out', dir, '--gguf', 'q8_0', '--split-max-size', '60K'];
    const { code, err } = await run(...words);
    expect([code, err]).toEqual([
      0,
      [expect.stringMatching(/^warning: no Modelfile for models in several files, which Ollama/)],
    ]);
    expect(readdirSync(dir).every((name) => /^model-q8_0-0000\d-of-0000\d\.gguf$/.test(name))).toBe(true);
  });

  test('parts in the place of other parts, and the whole in the place of parts, and nothing else goes', async () => {
    const dir = freshDir();
    const others = [
      ...['model-q8_0-00001-of-00009.gguf.part', 'model-q8_0-1-of-9.gguf', 'model-q8_0.gguf.txt', 'notes.gguf'],
      ...['model-q8_0-old-00001-of-00009.gguf', 'xmodel-q8_0-00001-of-00009.gguf', 'model-q4_0-00001-of-00009.gguf'],
    ];
    for (const name of others) writeFileSync(path.join(dir, name), 'mine');
    const folder = 'model-q8_0-00001-of-00009.gguf';
    mkdirSync(path.join(dir, folder));
    const write = async (...words: string[]) => {
      const { code, out } = await run('--model', 'models/tiny', '--out', dir, '--gguf', 'q8_0', ...words);
      expect(code).toBe(0);
      const made = readdirSync(dir).filter((name) => !others.includes(name) && name !== folder && name !== 'Modelfile');
      expect(made.map((name) => `wrote ${path.join(dir, name)}`)).toEqual(out.filter((line) => line.endsWith('.gguf')));
      return made;
    };
    expect(await write()).toEqual(['model-q8_0.gguf']);
    const many = await write('--split-max-size', '60K');
    expect(many.length).toBeGreaterThan(2);
    const two = await write('--split-max-size', '150K');
    expect(two).toEqual(['model-q8_0-00001-of-00002.gguf', 'model-q8_0-00002-of-00002.gguf']);
    expect(await write()).toEqual(['model-q8_0.gguf']);
    expect(readdirSync(dir).sort()).toEqual([...others, folder, 'Modelfile', 'model-q8_0.gguf'].sort());
    for (const name of others) expect(readFileSync(path.join(dir, name), 'utf8')).toBe('mine');
  });

  test('a Modelfile of a whole model goes with it when parts take its place, another stays', async () => {
    const dir = freshDir();
    const words = ['--model', 'models/tiny', '--out', dir, '--gguf'];
    expect((await run(...words, 'q8_0')).code).toBe(0);
    expect((await run(...words, 'f16', '--split-max-size', '150K')).code).toBe(0);
    expect(readFileSync(path.join(dir, 'Modelfile'), 'utf8')).toContain('FROM ./model-q8_0.gguf');
    expect((await run(...words, 'q8_0', '--split-max-size', '60K')).code).toBe(0);
    expect(existsSync(path.join(dir, 'Modelfile'))).toBe(false);
  });

  test.each([
    ['a file', 'model-q8_0.gguf', []],
    ['a part', 'model-q8_0-00003-of-00004.gguf', ['--split-max-size', '60K']],
    ['the Modelfile', 'Modelfile', []],
  ])('a directory in the place of %s is found before anything is replaced', async (_, name, more) => {
    const dir = freshDir();
    mkdirSync(path.join(dir, name));
    writeFileSync(path.join(dir, 'model-f16.gguf'), 'old');
    const { code, err } = await run('--model', 'models/tiny', '--out', dir, '--gguf', 'f16,q8_0', ...more);
    expect([code, err.at(-1)]).toEqual([1, expect.stringContaining(`${name}: got something that is no file`)]);
    expect(readdirSync(dir).sort()).toEqual([name, 'model-f16.gguf'].sort());
    expect(readFileSync(path.join(dir, 'model-f16.gguf'), 'utf8')).toBe('old');
  });

  test('parts that fail leave the earlier ones; those that the model was read from stay', async () => {
    const dir = freshDir();
    const words = ['--out', dir, '--gguf', 'f16', '--split-max-size'];
    expect((await run('--model', 'models/tiny', ...words, '150K')).code).toBe(0);
    const first = readdirSync(dir);
    mkdirSync(path.join(dir, 'model-f16-00001-of-00002.gguf.part'));
    expect((await run('--model', 'models/tiny', ...words, '250K')).code).toBe(1);
    rmSync(path.join(dir, 'model-f16-00001-of-00002.gguf.part'), { recursive: true });
    expect(readdirSync(dir)).toEqual(first);
    expect((await run('--model', path.join(dir, first[0]), ...words, '250K')).code).toBe(0);
    expect(readdirSync(dir)).toEqual(expect.arrayContaining(first));
    expect(readdirSync(dir)).toContain('model-f16-00002-of-00002.gguf');
  });
});

describe('bad input gives one line and leaves nothing', () => {
  /** A copy of the tiny model to spoil. */
  function spoiled(spoil: (dir: string) => void): string {
    const dir = freshDir();
    cpSync('models/tiny', dir, { recursive: true });
    spoil(dir);
    return dir;
  }
  const truncated = (dir: string) => {
    const file = path.join(dir, 'model.safetensors');
    writeFileSync(file, readFileSync(file).subarray(0, 100_000));
  };
  const tooWide = (dir: string) => {
    const file = path.join(dir, 'model.safetensors');
    const bytes = readFileSync(file);
    const header = Number(bytes.readBigUInt64LE(0));
    const entries = JSON.parse(bytes.subarray(8, 8 + header).toString());
    const {
      dtype,
      data_offsets: [begin],
    } = entries['model.layers.3.mlp.down_proj.weight'];
    expect(dtype).toBe('F16');
    bytes.writeUInt16LE(0x7c00, 8 + header + begin);
    writeFileSync(file, bytes);
  };
  const cases: [string, (words: { out: string }) => string[], RegExp][] = [
    ['an unknown kind', () => ['--gguf', 'q4_k_m,q9'], /^error: --gguf: got q9, expected some of f32/],
    ['an empty kind', () => ['--gguf', 'q4_k_m,'], /^error: --gguf: got nothing/],
    ['nothing to write', () => [], /^error: export: got none of --merged, --gguf and --gguf-adapter/],
    ['a bad size', () => ['--gguf', 'f16', '--split-max-size', 'big'], /^error: --split-max-size: got big/],
    [
      'nothing to divide',
      () => ['--merged', 'float16', '--split-max-size', '2G'],
      /^error: --split-max-size: got no --gguf, expected GGUF files to divide; add --gguf, or leave it out$/,
    ],
    ['bad threads', () => ['--gguf', 'f16', '--threads', '0'], /^error: --threads: got 0/],
    ['no such model', () => ['--gguf', 'f16', '--model', 'missing'], /^error: missing/],
    ['no such adapter', () => ['--gguf', 'f16', '--adapter', 'missing'], /^error: missing/],
    ['no such imatrix', () => ['--gguf', 'f16', '--imatrix', 'missing'], /^error: missing: cannot be read/],
    [
      'an imatrix that is none',
      () => ['--gguf', 'q4_0', '--imatrix', 'models/tiny/config.json'],
      /^error: models\/tiny\/config\.json: got/,
    ],
    [
      'no tokenizer',
      () => ['--gguf', 'q8_0', '--model', spoiled((dir) => rmSync(path.join(dir, 'tokenizer.json')))],
      /^error: .*tokenizer\.json: got no such file/,
    ],
    [
      'another kind of tokenizer',
      () => ['--gguf', 'q8_0', '--model', spoiled((dir) => replace(dir, 'tokenizer.json', '{1,3}', '{1,2}'))],
      /^error: .*tokenizer\.json: got a pre-tokenizer/,
    ],
    [
      'cut weights',
      () => ['--gguf', 'q8_0', '--model', spoiled(truncated)],
      /^error: .*model\.safetensors: is truncated/,
    ],
    [
      'weights that are infinite',
      () => ['--gguf', 'q8_0,f16', '--model', spoiled(tooWide)],
      /^error: \S+: model\.layers\.3\.mlp\.down_proj\.weight: got a value that is NaN or beyond 65504/,
    ],
  ];
  test.each(cases)('%s', async (_, words, expected) => {
    const out = path.join(freshDir(), 'out');
    const { code, err } = await run('--out', out, ...words({ out }));
    expect(code).toBe(1);
    expect(err).toHaveLength(1);
    expect(err[0]).toMatch(expected);
    expect(err[0]).not.toContain('\n');
    expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
  });

  test('a directory below a file', async () => {
    const dir = freshDir();
    writeFileSync(path.join(dir, 'file'), '');
    const { code, err } = await run('--gguf', 'f16', '--out', path.join(dir, 'file', 'out'));
    expect([code, err.length]).toEqual([1, 1]);
    expect(err[0]).toMatch(/^error: .*file\/out: [^\n]*ENOTDIR/);
  });

  test('a file whose place is taken: the other kinds go too', async () => {
    const dir = freshDir();
    mkdirSync(path.join(dir, 'model-f16.gguf.part'));
    const { code, err } = await run('--gguf', 'q8_0,f16', '--out', dir);
    expect([code, err.length]).toEqual([1, 1]);
    expect(err[0]).toMatch(/^error: .*model-f16\.gguf: [^\n]*EISDIR/);
    expect(readdirSync(dir)).toEqual(['model-f16.gguf.part']);
  });
});

function replace(dir: string, name: string, from: string, to: string): void {
  const file = path.join(dir, name);
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
}

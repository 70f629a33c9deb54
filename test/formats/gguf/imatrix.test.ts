import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../../../src/data/random.ts';
import { UserError } from '../../../src/errors.ts';
import { fromFloat32 } from '../../../src/formats/elements.ts';
import { readImportanceMatrix } from '../../../src/formats/gguf/imatrix.ts';
import { MIXES, type Mix } from '../../../src/formats/gguf/mixes.ts';
import { ggufName } from '../../../src/formats/gguf/names.ts';
import { type GgufValue, writeGguf } from '../../../src/formats/gguf/writer.ts';
import { writeLlamaGguf } from '../../../src/models/save-gguf.ts';
import { matrixShape } from '../../../src/models/weight-rows.ts';
import { openLlama, skipReason } from '../../oracle/llama.ts';
import { randomConfig, randomWeights } from '../../support/random-llama.ts';
import { writeTinyTokenizer } from '../../support/tiny-tokenizer.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-imatrix-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const tokenizerDir = writeTinyTokenizer(path.join(dir, 'tokenizer'));

// Nine layers, so that the first eighth is one; groups of four.
const config = randomConfig({ hidden: 256, wide: 256, heads: 8, groups: 2, layers: 9 });
const weights = randomWeights(config);

/** What llama-imatrix would have seen: a sum of squares for each column of the layers' matrices, and tokens. */
const COUNT = 500;
const random = new Random(9);
const sums = new Map(
  weights
    .filter(({ name, shape }) => shape.length === 2 && name.startsWith('model.layers.'))
    .map(({ name, shape }) => {
      const columns = { length: matrixShape(shape).width };
      return [ggufName(name), Float32Array.from(columns, () => COUNT * random.normal() ** 2)];
    }),
);

/** The GGUF form. */
async function writeGgufForm(file: string, counts = Float32Array.of(COUNT)): Promise<void> {
  const metadata = new Map<string, GgufValue>([
    ['general.type', { type: 'string', value: 'imatrix' }],
    ['imatrix.datasets', { type: 'strings', value: ['wiki.txt'] }],
    ['imatrix.chunk_count', { type: 'u32', value: 4 }],
    ['imatrix.chunk_size', { type: 'u32', value: 512 }],
  ]);
  const tensors = [...sums].flatMap(([name, values]) => [
    {
      name: `${name}.in_sum2`,
      shape: [1, values.length],
      type: 'f32' as const,
      bytes: async () => fromFloat32(values, 'F32'),
    },
    { name: `${name}.counts`, shape: [1, 1], type: 'f32' as const, bytes: async () => fromFloat32(counts, 'F32') },
  ]);
  await writeGguf(file, metadata, tensors);
}

/** The earlier form: entries of name, calls and values, then chunks and the text's name. */
function legacyForm({ calls = COUNT, tail = true } = {}): Buffer {
  const i32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return bytes;
  };
  const text = (value: string) => Buffer.concat([i32(value.length), Buffer.from(value)]);
  const entries = [...sums].map(([name, values]) =>
    Buffer.concat([text(name), i32(calls), i32(values.length), fromFloat32(values, 'F32')]),
  );
  return Buffer.concat([i32(sums.size), ...entries, ...(tail ? [i32(4), text('wiki.txt')] : [])]);
}

const means = new Map([...sums].map(([name, values]) => [name, values.map((sum) => sum / COUNT)]));

describe('reading', () => {
  test('the GGUF form', async () => {
    const file = path.join(dir, 'a.gguf');
    await writeGgufForm(file);
    expect(await readImportanceMatrix(file)).toEqual({ file, columns: means, datasets: ['wiki.txt'], chunks: 4 });
  });

  test('a matrix that no token has reached counts evenly', async () => {
    const file = path.join(dir, 'zero.gguf');
    await writeGgufForm(file, Float32Array.of(0));
    const { columns } = await readImportanceMatrix(file);
    expect(columns.get('blk.0.attn_q.weight')).toEqual(new Float32Array(256).fill(1));
  });

  test.each([true, false])('the earlier form, with its tail: %s', async (tail) => {
    const file = path.join(dir, 'a.dat');
    writeFileSync(file, legacyForm({ tail }));
    const expected = tail ? { datasets: ['wiki.txt'], chunks: 4 } : { datasets: [], chunks: 0 };
    expect(await readImportanceMatrix(file)).toEqual({ file, columns: means, ...expected });
  });

  test('files of other kinds and damaged ones give one line', async () => {
    const whole = legacyForm();
    const infinite = Buffer.from(whole);
    infinite.writeFloatLE(Number.POSITIVE_INFINITY, 4 + 4 + 'blk.0.attn_q.weight'.length + 8);
    const lying = Buffer.from(whole);
    lying.writeInt32LE(2 ** 31 - 1, 4 + 4 + 'blk.0.attn_q.weight'.length + 4);
    const cases: [string, Uint8Array][] = [
      ['empty', new Uint8Array()],
      ['text', Buffer.from('GGUX is not it, nor is this any other form of it')],
      ['cut', whole.subarray(0, 3000)],
      ['negative', Buffer.from('ffffffff', 'hex')],
      ['infinite', infinite],
      ['lying', lying],
    ];
    for (const [name, bytes] of cases) {
      const file = path.join(dir, `${name}.dat`);
      writeFileSync(file, bytes);
      const failure = await readImportanceMatrix(file).catch((error: unknown) => error);
      expect(failure, name).toBeInstanceOf(UserError);
      expect((failure as Error).message, name).toMatch(new RegExp(`^[^\\n]*${name}\\.dat: [^\\n]*$`));
    }
    await expect(readImportanceMatrix(path.join(dir, 'missing'))).rejects.toThrow(UserError);
    const model = path.join(dir, 'model.gguf');
    await writeGguf(model, new Map(), [{ name: 'a', shape: [1], type: 'f32', bytes: async () => new Uint8Array(4) }]);
    await expect(readImportanceMatrix(model)).rejects.toThrow('without tensors named *.in_sum2');
  });

  test('importances of another model are refused', async () => {
    const columns = new Map([['blk.0.attn_q.weight', new Float32Array(128)]]);
    const importance = { file: 'other.gguf', columns, datasets: [], chunks: 1 };
    const files = [{ file: path.join(dir, 'x.gguf'), mix: 'q4_k_m' as const }];
    const failure = writeLlamaGguf({ files, config, tokenizerDir, chatTemplate: null, weights, importance });
    await expect(failure).rejects.toThrow('other.gguf: blk.0.attn_q.weight: got 128 importances, expected 256');
  });
});

const quantised = (Object.keys(MIXES) as Mix[]).filter((mix) => !['f32', 'f16', 'bf16'].includes(mix));

describe.skipIf(skipReason !== '')(`types and bytes with importances equal llama.cpp's${skipReason}`, () => {
  test('all kinds', async () => {
    const matrix = path.join(dir, 'b.gguf');
    await writeGgufForm(matrix);
    const importance = await readImportanceMatrix(matrix);
    const fileOf = (mix: Mix) => path.join(dir, `with-${mix}.gguf`);
    const f16 = path.join(dir, 'f16.gguf');
    const common = { config, tokenizerDir, chatTemplate: null, weights };
    await writeLlamaGguf({ ...common, files: [{ file: f16, mix: 'f16' }] });
    await writeLlamaGguf({ ...common, files: quantised.map((mix) => ({ file: fileOf(mix), mix })), importance });
    const llama = await openLlama();
    const theirFile = path.join(dir, 'theirs.gguf');
    for (const mix of quantised) {
      llama.quantize(f16, theirFile, { fileType: MIXES[mix].fileType, importance: means });
      const [ours, theirs] = [llama.tensors(fileOf(mix)), llama.tensors(theirFile)];
      const [our, their] = [readFileSync(fileOf(mix)), readFileSync(theirFile)];
      for (const [name, { type, begin, end }] of theirs) {
        const place = ours.get(name)!;
        expect(place.type, `${mix} ${name}`).toBe(type);
        const equal = our.subarray(place.begin, place.end).equals(their.subarray(begin, end));
        expect(equal, `${mix} ${name}: bytes equal`).toBe(true);
      }
    }
  });
});

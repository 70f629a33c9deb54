import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { fromFloat32 } from '../../../src/formats/elements.ts';
import { GgufFile } from '../../../src/formats/gguf/reader.ts';
import { parseSize, ShardedOutput, shardsOf } from '../../../src/formats/gguf/shards.ts';
import { GgufOutput, type GgufTensor, type GgufValue, writeGguf } from '../../../src/formats/gguf/writer.ts';
import { openLlama, skipReason } from '../../oracle/llama.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'dawntune-writer-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());
const freshDir = () => mkdtempSync(path.join(root, 'case-'));

const values = (count: number, start: number) =>
  fromFloat32(
    Float32Array.from({ length: count }, (_, i) => start + i),
    'F32',
  );
/** Three tensors whose ends are no multiples of any alignment. */
const TENSORS: GgufTensor[] = [
  { name: 'a', shape: [3, 5], type: 'f32', bytes: async () => values(15, 0) },
  { name: 'b', shape: [7], type: 'f32', bytes: async () => values(7, 100) },
  { name: 'c', shape: [2, 1], type: 'f32', bytes: async () => values(2, 200) },
];
const metadata = (alignment?: number): Map<string, GgufValue> =>
  new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ...(alignment ? [['general.alignment', { type: 'u32', value: alignment }] as const] : []),
  ]);

async function expectTensors(file: string): Promise<void> {
  const bytes = readFileSync(file);
  const found = (await openLlama()).tensors(file);
  for (const { name, bytes: expected } of TENSORS) {
    const { begin, end } = found.get(name)!;
    expect(bytes.subarray(begin, end).equals(await expected()), name).toBe(true);
  }
}

describe.skipIf(skipReason !== '')(`files that ggml reads${skipReason}`, () => {
  test.each([undefined, 8, 64, 4096])('alignment %s', async (alignment) => {
    const file = path.join(freshDir(), 'x.gguf');
    await writeGguf(file, metadata(alignment), TENSORS);
    await expectTensors(file);
    for (const { begin } of (await openLlama()).tensors(file).values()) expect(begin % (alignment ?? 32)).toBe(0);
  });

  test('pieces in any order', async () => {
    const file = path.join(freshDir(), 'x.gguf');
    const output = await GgufOutput.create(file, metadata(), TENSORS);
    const [a, b, c] = await Promise.all(TENSORS.map(({ bytes }) => bytes()));
    await output.write('c', 0, c);
    await output.write('a', 20, a.subarray(20));
    await output.write('b', 0, b);
    await output.write('a', 0, a.subarray(0, 20));
    expect(existsSync(file)).toBe(false);
    await output.complete();
    await output.publish();
    await expectTensors(file);
  });
});

test('a tensor that is not written in full is a defect, not a file', async () => {
  const dir = freshDir();
  const output = await GgufOutput.create(path.join(dir, 'x.gguf'), metadata(), TENSORS);
  await output.write('a', 0, values(15, 0));
  await expect(output.complete()).rejects.toThrow('b has 0 bytes, expected 28');
  await expect(output.write('b', 4, values(7, 0))).rejects.toThrow('no room');
  await output.discard();
  expect(readdirSync(dir)).toEqual([]);
});

test.each([[0], [12], [4]])('alignment %i is refused', async (alignment) => {
  const bad = new Map<string, GgufValue>([['general.alignment', { type: 'u32', value: alignment }]]);
  await expect(writeGguf(path.join(freshDir(), 'x.gguf'), bad, TENSORS)).rejects.toThrow('a power of two from 8');
});

describe('where files cannot be written', () => {
  /** Makes the writing of file contents fail as a full disk does, from the given call on. */
  async function fillDisk(call: number): Promise<void> {
    const file = path.join(freshDir(), 'probe');
    const handle = await open(file, 'w');
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const real = prototype.write;
    let calls = 0;
    vi.spyOn(prototype, 'write').mockImplementation(function (this: typeof handle, ...args: unknown[]) {
      calls++;
      if (calls >= call)
        return Promise.reject(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', syscall: 'write' }));
      return (real as (...all: unknown[]) => unknown).apply(this, args) as never;
    } as never);
  }

  test.each([1, 2, 3])('the disk is full at write %i: one line, and nothing is left', async (call) => {
    const dir = freshDir();
    writeFileSync(path.join(dir, 'x.gguf'), 'an earlier file');
    await fillDisk(call);
    const failure = await writeGguf(path.join(dir, 'x.gguf'), metadata(), TENSORS).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as Error).message).toMatch(
      /^[^\n]*x\.gguf: the disk is full \(ENOSPC on write\); free space[^\n]*$/,
    );
    expect(readdirSync(dir)).toEqual(['x.gguf']);
    expect(readFileSync(path.join(dir, 'x.gguf'), 'utf8')).toBe('an earlier file');
  });

  test('the directory is missing', async () => {
    const file = path.join(freshDir(), 'missing', 'x.gguf');
    await expect(writeGguf(file, metadata(), TENSORS)).rejects.toThrow(
      /does not exist \(ENOENT on open\); check the path/,
    );
  });

  test('a later part cannot be created: the earlier ones go', async () => {
    const dir = freshDir();
    const shards = shardsOf(path.join(dir, 'x.gguf'), metadata(), TENSORS, 40);
    shards[2] = { ...shards[2], file: path.join(dir, 'missing', 'x.gguf') };
    await expect(ShardedOutput.create(shards)).rejects.toThrow(UserError);
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('division into files', () => {
  const names = (maxBytes: number, tensors = TENSORS) =>
    shardsOf('out/m.gguf', metadata(), tensors, maxBytes).map(({ file, tensors }) => [
      path.basename(file),
      tensors.map(({ name }) => name).join(''),
    ]);

  test('as gguf-split does: padded tensors in order, as many as fit', () => {
    // Padded to 32 bytes the tensors take 64, 32 and 32.
    expect(names(128)).toEqual([['m.gguf', 'abc']]);
    expect(names(96)).toEqual([
      ['m-00001-of-00002.gguf', 'ab'],
      ['m-00002-of-00002.gguf', 'c'],
    ]);
    expect(names(95)).toEqual([
      ['m-00001-of-00002.gguf', 'a'],
      ['m-00002-of-00002.gguf', 'bc'],
    ]);
    // A tensor that is too large has a file for itself.
    expect(names(1).map(([, list]) => list)).toEqual(['a', 'b', 'c']);
  });

  test('each file says which it is; the first has the metadata', async () => {
    const dir = freshDir();
    const output = await ShardedOutput.create(shardsOf(path.join(dir, 'm.gguf'), metadata(64), TENSORS, 128));
    for (const { name, bytes } of TENSORS) await output.write(name, 0, await bytes());
    await output.complete();
    await output.publish();
    const whole = await GgufFile.open(output.files[0]);
    expect(whole.names).toEqual(['a', 'b', 'c']);
    expect(new Float32Array((await whole.bytes('b')).buffer)[6]).toBe(106);
    expect(whole.metadata.string('general.architecture')).toBe('llama');
    expect(whole.metadata.whole('split.count')).toBe(2);
    await whole.close();
  });

  test('sizes', () => {
    expect(['2G', '500m', ' 7K '].map(parseSize)).toEqual([2e9, 5e8, 7e3]);
    for (const bad of ['', '2', '0G', '-1G', '1.5G', '2GB', 'G', '99999999999G'])
      expect(() => parseSize(bad), bad).toThrow(UserError);
  });
});

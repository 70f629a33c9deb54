import { mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { UserError } from '../../src/errors.ts';
import { Checkpoint } from '../../src/formats/checkpoint.ts';
import { SafetensorsFile } from '../../src/formats/safetensors.ts';
import { copyOf, editHeader, editJson, type Json, set, temporaryDirectory } from '../support/model-files.ts';

const BASE = 'test/reference/llama-tiny';
const NORM = 'model.norm.weight';
const SHARD = 'model-00001-of-00001.safetensors';
const INDEX = 'model.safetensors.index.json';

async function open(file: string): Promise<void> {
  await (await SafetensorsFile.open(file)).close();
}

function becomeDirectory(file: string): void {
  rmSync(file);
  mkdirSync(file);
}

/** Damages a copy of a good file and gives back its path. */
function damaged(damage: (file: string) => void): string {
  const file = path.join(copyOf(BASE), 'model.safetensors');
  damage(file);
  return file;
}

describe('a file that is', () => {
  test.each<[string, (file: string) => void, RegExp]>([
    ['missing', (f) => rmSync(f), /does not exist/],
    ['a directory', becomeDirectory, /is no file/],
    ['empty', (f) => writeFileSync(f, ''), /has 0 bytes, expected at least 8/],
    ['cut in its header', (f) => truncateSync(f, 100), /claims a header of \d+ bytes in a file of 100/],
    ['cut in its data', (f) => truncateSync(f, 100_000), /is truncated: tensor .* ends at byte \d+ of 100000/],
    ['a web page', (f) => writeFileSync(f, '<!DOCTYPE html><html></html>'), /is a web page, not safetensors/],
    ['a pointer of Git LFS', (f) => writeFileSync(f, 'version https://git-lfs.github.com/spec/v1\n'), /git lfs pull/],
    ["in PyTorch's format", (f) => writeFileSync(f, 'PK\u0003\u0004 and more'), /PyTorch's own format/],
    ['a lie about its header', (f) => writeFileSync(f, Buffer.alloc(100, 0xff)), /claims a header of/],
  ])('%s is refused', async (_, damage, message) => {
    const file = damaged(damage);
    const error = await open(file).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message.startsWith(`${file}: `)).toBe(true);
    expect(error.message).toMatch(message);
  });
});

describe('a header with', () => {
  test.each<[string, (header: Json, data: Buffer) => Buffer | undefined, RegExp]>([
    ['an unknown dtype', set([NORM, 'dtype'], 'Q9'), /has dtype "Q9", expected one of F64, F32/],
    ['a dtype that Object has', set([NORM, 'dtype'], 'constructor'), /has dtype "constructor"/],
    ['a float8', set([NORM, 'dtype'], 'F8_E4M3'), /has dtype F8_E4M3, expected F32, F16, BF16 or F64; use/],
    ['a negative shape', set([NORM, 'shape'], [-16, -4]), /has shape \[-16,-4\]/],
    ['a shape beyond all numbers', set([NORM, 'shape'], [2 ** 40, 2 ** 40]), /has shape/],
    ['a shape of other size', set([NORM, 'shape'], [1]), /spans 512 bytes, expected 4 for F32 \[1\]/],
    ['an entry that is null', set(['x'], null), /tensor x has dtype nothing/],
    ['offsets that are none', set([NORM, 'data_offsets'], [0]), /has data_offsets \[0\]/],
    ['offsets turned round', (h) => void h[NORM].data_offsets.reverse(), /spans -512 bytes/],
    ['overlapping tensors', (h) => set(['x'], h[NORM])(h), /begins at byte/],
    [
      'bytes after the last',
      (_, data) => Buffer.concat([data, Buffer.alloc(16)]),
      /has 16 bytes after its last tensor/,
    ],
  ])('%s is refused', async (_, edit, message) => {
    const file = damaged((f) => editHeader(f, edit));
    await expect(open(file)).rejects.toThrow(message);
    await expect(open(file)).rejects.toBeInstanceOf(UserError);
  });

  test('a control character in a name does not reach the terminal', async () => {
    const file = damaged((f) => editHeader(f, set(['a\nb\u001b[31m'], { dtype: 'Q' })));
    await expect(open(file)).rejects.toThrow('tensor a b\\x1b[31m has dtype "Q"');
  });

  test('any byte changed is read or refused, never a crash', async () => {
    const good = readFileSync(path.join(BASE, 'model.safetensors'));
    const file = path.join(temporaryDirectory(), 'x.safetensors');
    const header = Number(good.readBigUInt64LE(0)) + 8;
    const random = new Random(5);
    let refused = 0;
    for (let i = 0; i < 300; i++) {
      const bytes = Buffer.from(good);
      for (let change = 0; change <= random.below(3); change++) bytes[random.below(header)] = random.below(256);
      writeFileSync(file, bytes);
      await open(file).catch((error) => {
        expect(error).toBeInstanceOf(UserError);
        refused++;
      });
    }
    expect(refused).toBeGreaterThan(200);
  });
});

describe('a checkpoint in shards', () => {
  function sharded(damage: (dir: string) => void): string {
    const dir = copyOf(BASE);
    const single = path.join(dir, 'model.safetensors');
    const names: string[] = [];
    editHeader(single, (header) => {
      names.push(...Object.keys(header).filter((name) => name !== '__metadata__'));
      return undefined;
    });
    renameSync(single, path.join(dir, SHARD));
    const weight_map = Object.fromEntries(names.map((name) => [name, SHARD]));
    writeFileSync(path.join(dir, INDEX), JSON.stringify({ weight_map }));
    damage(dir);
    return dir;
  }
  const index = (edit: (json: Json) => unknown) => (dir: string) => editJson(path.join(dir, INDEX), edit);

  test('opens', async () => {
    const checkpoint = await Checkpoint.open(sharded(() => {}));
    expect((await checkpoint.floats(NORM)).length).toBe(128);
    await checkpoint.close();
  });

  test.each<[string, (dir: string) => void, RegExp]>([
    [
      'no weights at all',
      (d) => [SHARD, INDEX].forEach((name) => void rmSync(path.join(d, name))),
      /has neither model/,
    ],
    ['a shard missing', (d) => rmSync(path.join(d, SHARD)), /shard model-00001-of-00001.safetensors .* is missing/],
    ['a shard cut', (d) => truncateSync(path.join(d, SHARD), 50_000), /model-00001-of-00001.safetensors: is truncated/],
    ['a shard elsewhere', index(set(['weight_map', NORM], '../../../etc/passwd')), /is missing/],
    ['a tensor that its shard lacks', index(set(['weight_map', 'x'], SHARD)), /has no tensor x, which/],
    ['an index cut', (d) => truncateSync(path.join(d, INDEX), 50), /index.json: is no JSON/],
    ['an index without a map', index(() => ({})), /has no weight_map/],
    ['an empty map', index(() => ({ weight_map: {} })), /has no weight_map/],
    ['a map that is a list', index(() => ({ weight_map: ['a'] })), /has no weight_map/],
    ['an index that is null', (d) => writeFileSync(path.join(d, INDEX), 'null'), /has no weight_map/],
  ])('with %s is refused', async (_, damage, message) => {
    const dir = sharded(damage);
    const error = await Checkpoint.open(dir).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(dir);
  });
});

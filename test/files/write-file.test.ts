import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  checkWritable,
  fillDirectory,
  makeDirectory,
  removeTemporaries,
  watchTemporaries,
  writeFileAtomic,
} from '../../src/files/write-file.ts';
import { writeSafetensors } from '../../src/formats/safetensors-writer.ts';
import { temporaryDirectory } from '../support/model-files.ts';

const FULL = '/dev/full';
const onLinux = test.skipIf(!existsSync(FULL));

/** Contents of a directory, by name. */
function contents(dir: string): Record<string, string> {
  return Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(path.join(dir, name), 'utf8')]));
}

describe('single files', () => {
  test('a directory that has the temporary name stays', async () => {
    const dir = temporaryDirectory();
    mkdirSync(path.join(dir, 'x.part'));
    writeFileSync(path.join(dir, 'x.part', 'mine'), 'kept');
    const file = path.join(dir, 'x');
    expect(() => writeFileAtomic(file, 'new')).toThrow(/x: is a directory where a file is expected/);
    await expect(writeSafetensors(file, [])).rejects.toThrow(/x: is a directory where a file is expected/);
    expect(readFileSync(path.join(dir, 'x.part', 'mine'), 'utf8')).toBe('kept');
  });

  onLinux('a full disk leaves the old file and nothing else', async () => {
    const dir = temporaryDirectory();
    const file = path.join(dir, 'a');
    writeFileSync(file, 'old');
    const fill = () => symlinkSync(FULL, `${file}.part`);
    fill();
    expect(() => writeFileAtomic(file, 'new')).toThrow(/a: the disk is full \(ENOSPC on write\); free space/);
    expect(contents(dir)).toEqual({ a: 'old' });
    fill();
    const tensor = { name: 't', dtype: 'U8', shape: [3], bytes: () => new Uint8Array(3) } as const;
    await expect(writeSafetensors(file, [tensor])).rejects.toThrow(/a: the disk is full/);
    expect(contents(dir)).toEqual({ a: 'old' });
  });

  test('a failure in the middle leaves the old file and nothing else', async () => {
    const dir = temporaryDirectory();
    const file = path.join(dir, 'a');
    writeFileSync(file, 'old');
    const good = { name: 'a', dtype: 'U8', shape: [3], bytes: () => new Uint8Array(3) } as const;
    const bad = {
      ...good,
      name: 'b',
      bytes: () => {
        expect(readdirSync(dir)).toContain('a.part');
        throw new Error('no more');
      },
    };
    await expect(writeSafetensors(file, [good, bad])).rejects.toThrow('no more');
    expect(contents(dir)).toEqual({ a: 'old' });
  });
});

describe('directories', () => {
  test('files come into place together; what does not belong to them stays, what is stale goes', async () => {
    const dir = path.join(temporaryDirectory(), 'new', 'adapter');
    makeDirectory(dir);
    for (const name of ['weights', 'config', 'stale', 'README']) writeFileSync(path.join(dir, name), 'old');
    const result = await fillDirectory(
      dir,
      async (staging) => {
        writeFileAtomic(path.join(staging, 'weights'), 'new');
        writeFileAtomic(path.join(staging, 'config'), 'new');
        expect(readFileSync(path.join(dir, 'weights'), 'utf8')).toBe('old');
        return 7;
      },
      ['config', 'stale'],
    );
    expect(result).toBe(7);
    expect(contents(dir)).toEqual({ weights: 'new', config: 'new', README: 'old' });
  });

  onLinux('a full disk leaves the directory as it was', async () => {
    const dir = temporaryDirectory();
    writeFileSync(path.join(dir, 'weights'), 'old');
    const write = async (staging: string) => {
      writeFileAtomic(path.join(staging, 'weights'), 'new');
      symlinkSync(FULL, path.join(staging, 'config.part'));
      writeFileAtomic(path.join(staging, 'config'), 'new');
    };
    // The line names the file that the user knows.
    await expect(fillDirectory(dir, write)).rejects.toThrow(`${path.join(dir, 'config')}: the disk is full`);
    expect(contents(dir)).toEqual({ weights: 'old' });
  });

  test('a directory that was not there is not there after a failure', async () => {
    const dir = temporaryDirectory();
    const write = () => Promise.reject(new Error('no'));
    await expect(fillDirectory(path.join(dir, 'a', 'b'), write)).rejects.toThrow('no');
    expect(readdirSync(dir)).toEqual([]);
  });

  test('nothing is replaced when one of the files cannot be', async () => {
    const dir = temporaryDirectory();
    writeFileSync(path.join(dir, 'a'), 'old');
    mkdirSync(path.join(dir, 'b'));
    const write = async (staging: string) => {
      for (const name of ['a', 'b']) writeFileSync(path.join(staging, name), 'new');
    };
    await expect(fillDirectory(dir, write)).rejects.toThrow(/b: got something that is no file/);
    expect(readFileSync(path.join(dir, 'a'), 'utf8')).toBe('old');
    expect(readdirSync(dir).sort()).toEqual(['a', 'b']);
  });

  test('what a killed run left in the staging directory is gone', async () => {
    const dir = temporaryDirectory();
    mkdirSync(path.join(dir, 'writing.part'));
    writeFileSync(path.join(dir, 'writing.part', 'leftover'), 'x');
    await fillDirectory(dir, async (staging) => writeFileSync(path.join(staging, 'a'), 'new'));
    expect(contents(dir)).toEqual({ a: 'new' });
  });

  test('an interruption removes what is half-written', async () => {
    const dir = temporaryDirectory();
    const states: boolean[] = [];
    watchTemporaries((writing) => states.push(writing));
    const write = async (staging: string) => {
      writeFileSync(path.join(staging, 'a'), 'half');
      removeTemporaries();
      expect(readdirSync(dir)).toEqual([]);
      throw new Error('interrupted');
    };
    await expect(fillDirectory(dir, write)).rejects.toThrow('interrupted');
    await fillDirectory(dir, async () => {});
    watchTemporaries(() => {});
    expect(states[0]).toBe(true);
    expect(states.at(-1)).toBe(false);
  });
});

describe('places that take no files', () => {
  const dir = temporaryDirectory();
  const file = path.join(dir, 'file');
  writeFileSync(file, '');
  symlinkSync('/nowhere/at/all', path.join(dir, 'dangling'));
  const places: [string, RegExp][] = [
    [file, /file: got a file, expected a directory/],
    [path.join(file, 'below'), /file\/below: a part of the path is a file.*ENOTDIR/],
    [path.join(dir, 'x'.repeat(300)), /name is too long/],
    [path.join(dir, 'dangling'), /dangling: exists already/],
    ['', /an empty path/],
  ];
  // Node's own recursive mkdir never returns from there.
  if (process.platform === 'linux') places.push(['/proc/nowhere/at/all', /\/proc\/nowhere\/at\/all: /]);

  test.each(places)('%s', (place, message) => {
    const before = readdirSync(dir);
    expect(() => makeDirectory(place)).toThrow(message);
    expect(() => checkWritable(place)).toThrow(message);
    expect(readdirSync(dir)).toEqual(before);
  });

  test('looking leaves nothing behind where files may go', () => {
    checkWritable(path.join(dir, 'a', 'b'));
    checkWritable(dir);
    expect(readdirSync(dir).sort()).toEqual(['dangling', 'file']);
  });
});

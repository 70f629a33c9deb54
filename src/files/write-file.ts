import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { complain, explained, UserError } from '../errors.ts';

/** Files and directories that are being written under a name that is not theirs. */
const temporaries = new Set<string>();

/** Removes everything half-written at once: for the moment before the process ends. */
export function removeTemporaries(): void {
  for (const temporary of temporaries) rmSync(temporary, { recursive: true, force: true });
  temporaries.clear();
}

let watcher: (writing: boolean) => void = () => {};

/** Calls `changed` when the first half-written file appears and when the last one is gone. */
export function watchTemporaries(changed: (writing: boolean) => void): void {
  watcher = changed;
}

/** Says that a file or directory of this temporary name is being written; it must exist, and be the caller's. */
export function beginTemporary(temporary: string): void {
  temporaries.add(temporary);
  if (temporaries.size === 1) watcher(true);
}

function end(temporary: string): void {
  if (temporaries.delete(temporary) && temporaries.size === 0) watcher(false);
}

/** Removes what is half-written. */
export function discardTemporary(temporary: string): void {
  rmSync(temporary, { recursive: true, force: true });
  end(temporary);
}

/** Gives what is complete its name. */
export function publishTemporary(temporary: string, file: string): void {
  renameSync(temporary, file);
  end(temporary);
}

function openToWrite(temporary: string, file: string): number {
  try {
    return openSync(temporary, 'w');
  } catch (error) {
    throw explained(error, file);
  }
}

/**
 * Writes a small file under a temporary name and renames it, so that no reader sees half of it.
 *
 * @param temporary one of the process's own where several may write the file at once
 * @throws UserError when the system refuses; what was there before stays
 */
export function writeFileAtomic(file: string, contents: string | Uint8Array, temporary: string = `${file}.part`): void {
  const descriptor = openToWrite(temporary, file);
  // Only now: what stands in the way of the temporary name is not ours to remove.
  beginTemporary(temporary);
  try {
    try {
      const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents;
      for (let at = 0; at < bytes.byteLength; ) at += writeSync(descriptor, bytes, at);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    publishTemporary(temporary, file);
  } catch (error) {
    discardTemporary(temporary);
    throw explained(error, file);
  }
}

/**
 * {@link writeFileAtomic} for a large file that `write` fills piece by piece.
 *
 * @throws UserError when the system refuses, or whatever `write` throws; what was there before stays
 */
export async function writeLargeFile(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${file}.part`;
  const handle = await open(temporary, 'w').catch((error) => {
    throw explained(error, file);
  });
  beginTemporary(temporary);
  try {
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    publishTemporary(temporary, file);
  } catch (error) {
    discardTemporary(temporary);
    throw explained(error, file);
  }
}

/**
 * Creates a directory and those above it.
 *
 * Not by Node's own `recursive`, which never returns for a place such as /proc that takes no directories.
 *
 * @returns the directories that were created, outermost first
 * @throws UserError naming the directory that cannot be created
 */
export function makeDirectory(dir: string): string[] {
  const missing: string[] = [];
  for (let at = path.resolve(dir); !existsSync(at); at = path.dirname(at)) missing.unshift(at);
  const created: string[] = [];
  try {
    for (const each of missing) {
      mkdirSync(each);
      created.push(each);
    }
    if (!statSync(dir).isDirectory())
      throw complain({
        where: dir,
        got: 'a file',
        expected: 'a directory for files to be written to',
        remedy: 'choose another one',
      });
  } catch (error) {
    removeEmpty(created);
    throw explained(error, dir === '' ? 'an empty path' : dir);
  }
  return created;
}

function removeEmpty(dirs: readonly string[]): void {
  for (const dir of dirs.toReversed())
    if (existsSync(dir) && readdirSync(dir).length === 0) rmSync(dir, { recursive: true });
}

/** Where files wait until the directory is complete. Inside it: a rename must not cross to another file system. */
const STAGING = 'writing.part';

/**
 * Fills a directory with several files that belong together: `write` puts them into an empty directory, and only when
 * all are complete do they take the places of those that were there, in one go that a signal cannot interrupt. After a
 * failure the directory is as it was. Files that have nothing to do with them stay.
 *
 * @param stale names that belong to the same set: removed where `write` has not written them anew
 * @returns what `write` returns
 * @throws UserError when the system refuses, or whatever `write` throws
 */
export async function fillDirectory<T>(
  dir: string,
  write: (staging: string) => Promise<T>,
  stale: readonly string[] = [],
): Promise<T> {
  const created = makeDirectory(dir);
  const staging = path.join(dir, STAGING);
  try {
    // What an earlier run left when it was killed.
    rmSync(staging, { recursive: true, force: true });
    mkdirSync(staging);
    beginTemporary(staging);
    const result = await write(staging);
    const names = readdirSync(staging);
    for (const name of names) checkReplaceable(path.join(dir, name));
    for (const name of names) renameSync(path.join(staging, name), path.join(dir, name));
    for (const name of stale) if (!names.includes(name)) rmSync(path.join(dir, name), { force: true });
    discardTemporary(staging);
    return result;
  } catch (error) {
    discardTemporary(staging);
    removeEmpty(created);
    const cause = explained(error, dir);
    // The staging directory is nobody's business.
    throw cause instanceof UserError ? new UserError(cause.message.replaceAll(staging, dir)) : cause;
  }
}

/**
 * Finds out early whether a file can take this place.
 *
 * @throws UserError when something else is there
 */
export function checkReplaceable(file: string): void {
  if (existsSync(file) && !statSync(file).isFile())
    throw complain({
      where: file,
      got: 'something that is no file',
      expected: 'a file to replace, or nothing',
      remedy: 'move it away or choose another output directory',
    });
}

/**
 * Finds out early whether {@link fillDirectory} can write to a directory; leaves nothing behind.
 *
 * @throws UserError when it cannot
 */
export function checkWritable(dir: string): void {
  const created = makeDirectory(dir);
  const probe = path.join(dir, `probe-${process.pid}.part`);
  try {
    writeFileAtomic(probe, '');
    rmSync(probe);
  } catch (error) {
    throw explained(error, dir);
  } finally {
    removeEmpty(created);
  }
}

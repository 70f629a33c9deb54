import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { UserError } from '../../errors.ts';
import { ByteCursor } from './cursor.ts';
import { type GgufEntry, type GgufHeader, parseGgufHeader } from './header.ts';
import type { GgufMetadata } from './metadata.ts';
import { checkFirstPart, checkPart, partNames } from './split.ts';

export type { GgufEntry } from './header.ts';
export type { GgufMetadata } from './metadata.ts';

/** Whether a path means a GGUF file instead of a model's directory. */
export function isGguf(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? !stat.isDirectory() : path.toLowerCase().endsWith('.gguf');
}

/**
 * Reads the header of one file, in chunks: metadata and the places of tensors.
 *
 * @throws UserError naming the file and what is wrong with it
 */
export function readGgufHeader(file: string): GgufHeader {
  // Opening a pipe would wait for a writer.
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat?.isFile())
    throw new UserError(`${file}: ${stat ? 'is not a file' : 'does not exist'}; pass the path of a GGUF file`);
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    throw unreadable(file, error);
  }
  try {
    return parseGgufHeader(new ByteCursor(file, fd, fstatSync(fd).size));
  } finally {
    closeSync(fd);
  }
}

/**
 * Metadata of a model: of its only file, or of the first part of a split one.
 *
 * @throws UserError for another part, and as {@link readGgufHeader}
 */
export function readModelMetadata(file: string): GgufMetadata {
  const { metadata } = readGgufHeader(file);
  checkFirstPart(file, metadata);
  return metadata;
}

/** Where a tensor lies: one of the files, and the place in it. */
interface Located {
  entry: GgufEntry;
  file: string;
  handle: FileHandle;
}

/**
 * An open GGUF model, in one file or split as llama.cpp does: headers are in memory, tensors are read when asked for,
 * one at a time.
 */
export class GgufFile {
  /** The file that was opened, the first part of a split one. */
  readonly file: string;
  /** Of the first part. */
  readonly metadata: GgufMetadata;
  readonly #tensors: ReadonlyMap<string, Located>;
  readonly #handles: readonly FileHandle[];

  private constructor(
    file: string,
    metadata: GgufMetadata,
    tensors: ReadonlyMap<string, Located>,
    handles: readonly FileHandle[],
  ) {
    this.file = file;
    this.metadata = metadata;
    this.#tensors = tensors;
    this.#handles = handles;
  }

  /**
   * Opens a file and checks its header against its size; for the first part of a split model all others too.
   *
   * @throws UserError naming the file, the place in it, and what to do about it
   */
  static async open(file: string): Promise<GgufFile> {
    const first = readGgufHeader(file);
    const handles: FileHandle[] = [];
    const tensors = new Map<string, Located>();
    try {
      for (const [index, part] of partNames(file, first.metadata).entries()) {
        const { metadata, entries } = index === 0 ? first : readGgufHeader(part);
        if (index > 0) checkPart(metadata, index);
        const handle = await open(part, 'r').catch((error) => {
          throw unreadable(part, error);
        });
        handles.push(handle);
        for (const entry of entries.values()) {
          if (tensors.has(entry.name))
            throw new UserError(
              `${part}: has tensor ${entry.name}, which ${tensors.get(entry.name)?.file} has too; split the model again`,
            );
          tensors.set(entry.name, { entry, file: part, handle });
        }
      }
      const expected = handles.length > 1 ? first.metadata.whole('split.tensors.count', tensors.size) : tensors.size;
      if (expected !== tensors.size)
        throw new UserError(
          `${file}: its parts have ${tensors.size} tensors, expected ${expected}; download or split the model again`,
        );
      return new GgufFile(file, first.metadata, tensors, handles);
    } catch (error) {
      for (const handle of handles) await handle.close();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** @throws UserError when there is no such tensor */
  entry(name: string): GgufEntry {
    return this.#located(name).entry;
  }

  /** The bytes of a tensor in its own type, row-major. */
  async bytes(name: string): Promise<Uint8Array> {
    const { begin, end } = this.entry(name);
    return this.range(name, 0, end - begin);
  }

  /** A part of a tensor's bytes, `length` from byte `at` on. */
  async range(name: string, at: number, length: number): Promise<Uint8Array> {
    const { entry, file, handle } = this.#located(name);
    const begin = entry.begin + at;
    if (at < 0 || begin + length > entry.end)
      throw new Error(`${file}: tensor ${name} has no bytes ${at} to ${at + length}`);
    // A fresh ArrayBuffer: typed views of any width may lie on it.
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), begin + done);
      if (bytesRead === 0)
        throw new UserError(
          `${file}: ends at byte ${begin + done} inside tensor ${name}; it became shorter, write it again`,
        );
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    for (const handle of this.#handles) await handle.close();
  }

  #located(name: string): Located {
    const located = this.#tensors.get(name);
    if (!located) throw new UserError(`${this.file}: has no tensor ${name}; use a complete GGUF file of a Llama model`);
    return located;
  }
}

function unreadable(file: string, error: unknown): UserError {
  return new UserError(
    `${file}: cannot be read (${(error as NodeJS.ErrnoException).code}); check the path and its permissions`,
  );
}

import { type FileHandle, open } from 'node:fs/promises';
import { explained, UserError } from '../errors.ts';
import { parseHeader, type SafetensorsEntry } from './safetensors-header.ts';

export type { SafetensorsEntry } from './safetensors-header.ts';

/**
 * An open safetensors file (https://github.com/huggingface/safetensors#format): the header is in memory, tensors are
 * read when asked for, one at a time.
 */
export class SafetensorsFile {
  readonly file: string;
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #handle: FileHandle;

  private constructor(
    file: string,
    handle: FileHandle,
    entries: Map<string, SafetensorsEntry>,
    metadata: Record<string, string>,
  ) {
    this.file = file;
    this.#handle = handle;
    this.entries = entries;
    this.metadata = metadata;
  }

  /**
   * Opens a file and checks its header against its size.
   *
   * @throws UserError naming the file and what is wrong with it
   */
  static async open(file: string): Promise<SafetensorsFile> {
    const handle = await open(file, 'r').catch((error) => {
      throw explained(error, file);
    });
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new UserError(`${file}: is no file; correct the path`);
      const { size } = stat;
      const { entries, metadata } = await parseHeader(file, size, (offset, length) =>
        readExactly(handle, file, offset, length),
      );
      return new SafetensorsFile(file, handle, entries, metadata);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** @throws UserError when there is no such tensor */
  entry(name: string): SafetensorsEntry {
    const entry = this.entries.get(name);
    if (!entry)
      throw new UserError(`${this.file}: has no tensor ${name}; check that the file belongs to its config.json`);
    return entry;
  }

  /** The bytes of a tensor, little-endian, row-major. */
  async bytes(name: string): Promise<Uint8Array> {
    const { begin, end } = this.entry(name);
    return readExactly(this.#handle, this.file, begin, end - begin);
  }

  /** A part of a tensor's bytes, so many from a place in it. */
  async range(name: string, at: number, length: number): Promise<Uint8Array> {
    const { begin, end } = this.entry(name);
    if (at < 0 || begin + at + length > end)
      throw new RangeError(`${this.file}: ${name}: bytes ${at} to ${at + length} of ${end - begin}`);
    return readExactly(this.#handle, this.file, begin + at, length);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function readExactly(handle: FileHandle, file: string, offset: number, length: number): Promise<Uint8Array> {
  // A fresh ArrayBuffer: typed views of any width may lie on it.
  const bytes = new Uint8Array(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle
      .read(bytes, done, Math.min(length - done, 2 ** 30), offset + done)
      .catch((error) => {
        throw explained(error, file);
      });
    if (bytesRead === 0)
      throw new UserError(`${file}: ends at byte ${offset + done} inside a tensor; download it again`);
    done += bytesRead;
  }
  return bytes;
}

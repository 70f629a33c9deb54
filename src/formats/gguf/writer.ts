import { type FileHandle, open } from 'node:fs/promises';
import { complain, explained } from '../../errors.ts';
import { beginTemporary, checkReplaceable, discardTemporary, publishTemporary } from '../../files/write-file.ts';
import { sizeOf } from '../../tensor/shape.ts';
import { ByteWriter, type GgufValue } from './byte-writer.ts';
import { GGML_TYPES, type GgmlType, ggmlBytes } from './types.ts';

export type { GgufValue } from './byte-writer.ts';

/** What the header says of a tensor. */
export interface GgufTensorInfo {
  name: string;
  /** Outermost dimension first, as everywhere in dawntune. */
  shape: readonly number[];
  type: GgmlType;
}

/** A tensor to be written; its bytes are asked for when its turn comes. */
export interface GgufTensor extends GgufTensorInfo {
  bytes: () => Promise<Uint8Array>;
}

/** Where tensors begin if general.alignment does not say otherwise: at multiples of this. */
export const DEFAULT_ALIGNMENT = 32;

/**
 * Writes a GGUF file, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), one tensor in memory at a
 * time, to a temporary name that becomes `file` when complete.
 *
 * @throws UserError when the file cannot be written; nothing is left behind
 */
export async function writeGguf(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const output = await GgufOutput.create(file, metadata, tensors);
  try {
    for (const { name, bytes } of tensors) await output.write(name, 0, await bytes());
    await output.complete();
    await output.publish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}

/** Bytes from one tensor's beginning to the next one's. */
export function paddedBytes({ type, shape }: GgufTensorInfo, alignment: number): number {
  return Math.ceil(ggmlBytes(type, sizeOf(shape)) / alignment) * alignment;
}

/** @throws UserError for an alignment that the format does not allow */
export function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment')?.value ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== 'number' || alignment < 8 || Math.log2(alignment) % 1 !== 0)
    throw complain({
      where: 'GGUF: general.alignment',
      got: String(alignment),
      expected: 'a power of two from 8',
      remedy: 'leave it out for 32',
    });
  return alignment;
}

/** A place that bytes of a tensor go to. */
interface Place {
  /** First byte in the file. */
  begin: number;
  bytes: number;
  written: number;
}

/**
 * A GGUF file in the making: its header is written, and the bytes of its tensors may come in any order and in pieces.
 *
 * It has a temporary name until {@link publish}; {@link discard} removes it.
 */
export class GgufOutput {
  readonly file: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(file: string, temporary: string, handle: FileHandle, places: ReadonlyMap<string, Place>) {
    this.file = file;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#places = places;
  }

  /** @throws UserError when the file cannot be created */
  static async create(
    file: string,
    metadata: ReadonlyMap<string, GgufValue>,
    tensors: readonly GgufTensorInfo[],
  ): Promise<GgufOutput> {
    // Before the work, not after it, and before the first of several files takes its place.
    checkReplaceable(file);
    const alignment = alignmentOf(metadata);
    const header = headerOf(metadata, tensors, alignment);
    const places = new Map<string, Place>();
    let begin = header.byteLength;
    for (const tensor of tensors) {
      places.set(tensor.name, { begin, bytes: ggmlBytes(tensor.type, sizeOf(tensor.shape)), written: 0 });
      begin += paddedBytes(tensor, alignment);
    }
    const temporary = `${file}.part`;
    // Only what has been opened is ours to remove.
    const handle = await open(temporary, 'w').catch((error) => {
      throw explained(error, file);
    });
    beginTemporary(temporary);
    const output = new GgufOutput(file, temporary, handle, places);
    try {
      // Bytes between tensors are never written: they are zero because the file has its size from the start.
      await handle.truncate(begin);
      await output.#writeAll(header, 0);
      return output;
    } catch (error) {
      await output.discard();
      throw explained(error, file);
    }
  }

  /** Writes bytes of a tensor, `at` bytes from its beginning; no byte may be written twice. */
  async write(name: string, at: number, bytes: Uint8Array): Promise<void> {
    const place = this.#places.get(name);
    if (!place || at + bytes.byteLength > place.bytes)
      throw new Error(`${this.file}: ${name} has no room for ${bytes.byteLength} bytes at ${at} of ${place?.bytes}`);
    place.written += bytes.byteLength;
    try {
      await this.#writeAll(bytes, place.begin + at);
    } catch (error) {
      throw explained(error, this.file);
    }
  }

  /** Ends the writing: everything is on the disk, still under the temporary name. */
  async complete(): Promise<void> {
    for (const [name, { bytes, written }] of this.#places)
      if (written !== bytes) throw new Error(`${this.file}: ${name} has ${written} bytes, expected ${bytes}`);
    try {
      await this.#handle.sync();
      await this.#handle.close();
    } catch (error) {
      throw explained(error, this.file);
    }
  }

  /** Gives the complete file its name. */
  async publish(): Promise<void> {
    try {
      publishTemporary(this.#temporary, this.file);
    } catch (error) {
      throw explained(error, this.file);
    }
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {});
    discardTemporary(this.#temporary);
  }

  async #writeAll(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.byteLength) {
      const length = Math.min(bytes.byteLength - done, 2 ** 30);
      const { bytesWritten } = await this.#handle.write(bytes, done, length, position + done);
      done += bytesWritten;
    }
  }
}

function headerOf(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensorInfo[],
  alignment: number,
): Uint8Array {
  const out = new ByteWriter();
  out.bytes(new TextEncoder().encode('GGUF'));
  out.u32(3);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    out.value(value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name);
    out.u32(tensor.shape.length);
    for (const size of tensor.shape.toReversed()) out.u64(size);
    out.u32(GGML_TYPES[tensor.type].id);
    out.u64(offset);
    offset += paddedBytes(tensor, alignment);
  }
  out.bytes(new Uint8Array((alignment - (out.length % alignment)) % alignment));
  return out.finish();
}

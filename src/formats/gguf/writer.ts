import { open, rename, rm } from 'node:fs/promises';
import { sizeOf } from '../../tensor/shape.ts';
import { GGML_TYPES, type GgmlType, ggmlBytes } from './types.ts';

/** Metadata values with the type that GGUF stores them in. */
export type GgufValue =
  | { type: 'u32' | 'i32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: readonly string[] }
  | { type: 'i32s'; value: readonly number[] };

/** Numbers of the value types in the format. */
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

/** A tensor to be written; its bytes are asked for when its turn comes. */
export interface GgufTensor {
  name: string;
  /** Outermost dimension first, as everywhere in dawntune. */
  shape: readonly number[];
  type: GgmlType;
  bytes: () => Promise<Uint8Array>;
}

/** Tensors begin at multiples of this. */
const ALIGNMENT = 32;

/**
 * Writes a GGUF file, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), one tensor in memory at a
 * time, to a temporary name that becomes `file` when complete.
 */
export async function writeGguf(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const temporary = `${file}.part`;
  const handle = await open(temporary, 'w');
  try {
    const header = headerOf(metadata, tensors);
    await handle.writeFile(header);
    for (const tensor of tensors) {
      const data = await tensor.bytes();
      const expected = ggmlBytes(tensor.type, sizeOf(tensor.shape));
      if (data.byteLength !== expected)
        throw new Error(`${file}: ${tensor.name} has ${data.byteLength} bytes, expected ${expected}`);
      await handle.writeFile(data);
      await handle.writeFile(new Uint8Array(padding(data.byteLength)));
    }
    await handle.sync();
    await handle.close();
    await rename(temporary, file);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

const padding = (bytes: number) => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;

function headerOf(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): Uint8Array {
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
  for (const { name, shape, type } of tensors) {
    out.string(name);
    out.u32(shape.length);
    for (const size of shape.toReversed()) out.u64(size);
    out.u32(GGML_TYPES[type].id);
    out.u64(offset);
    const bytes = ggmlBytes(type, sizeOf(shape));
    offset += bytes + padding(bytes);
  }
  out.bytes(new Uint8Array(padding(out.length)));
  return out.finish();
}

/** Little-endian values one after the other. */
class ByteWriter {
  #buffer = new Uint8Array(1 << 16);
  #view = new DataView(this.#buffer.buffer);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.byteLength);
    this.#buffer.set(bytes, at);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: number): void {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  value(item: GgufValue): void {
    if (item.type === 'strings' || item.type === 'i32s') {
      const element = item.type === 'strings' ? 'string' : 'i32';
      this.u32(VALUE_TYPES.array);
      this.u32(VALUE_TYPES[element]);
      this.u64(item.value.length);
      for (const value of item.value) this.#element(element, value);
    } else {
      this.u32(VALUE_TYPES[item.type]);
      this.#element(item.type, item.value);
    }
  }

  #element(type: 'u32' | 'i32' | 'f32' | 'bool' | 'string', value: string | number | boolean): void {
    if (type === 'string') {
      this.string(value as string);
      return;
    }
    const at = this.#reserve(type === 'bool' ? 1 : 4);
    if (type === 'bool') this.#view.setUint8(at, value ? 1 : 0);
    else if (type === 'f32') this.#view.setFloat32(at, value as number, true);
    else if (type === 'i32') this.#view.setInt32(at, value as number, true);
    else this.#view.setUint32(at, value as number, true);
  }

  /** Room for so many bytes; returns where they begin. Call before touching the buffer: it may be replaced. */
  #reserve(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#buffer.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(this.#at)));
      larger.set(this.#buffer);
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

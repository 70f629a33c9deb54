/** Metadata values with the type that GGUF stores them in. */
export type GgufValue =
  | { type: 'u16' | 'u32' | 'i32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: readonly string[] }
  | { type: 'i32s'; value: readonly number[] };

/** Numbers of the value types in the format. */
const VALUE_TYPES = { u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
type Scalar = Exclude<keyof typeof VALUE_TYPES, 'array'>;

const utf8 = new TextEncoder();

/** Little-endian values one after the other, as in the header of a GGUF file. */
export class ByteWriter {
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
    const bytes = utf8.encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  value(item: GgufValue): void {
    if (item.type === 'strings' || item.type === 'i32s') {
      const element = item.type === 'strings' ? 'string' : 'i32';
      this.u32(VALUE_TYPES.array);
      this.u32(VALUE_TYPES[element]);
      this.u64(item.value.length);
      for (const value of item.value) this.#scalar(element, value);
    } else {
      this.u32(VALUE_TYPES[item.type]);
      this.#scalar(item.type, item.value);
    }
  }

  #scalar(type: Scalar, value: string | number | boolean): void {
    if (type === 'string') {
      this.string(value as string);
      return;
    }
    const at = this.#reserve({ bool: 1, u16: 2, u32: 4, i32: 4, f32: 4 }[type]);
    if (type === 'bool') this.#view.setUint8(at, value ? 1 : 0);
    else if (type === 'u16') this.#view.setUint16(at, value as number, true);
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

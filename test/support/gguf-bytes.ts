/** Bytes of a GGUF file put together by hand, for files that no writer would write. */
export class GgufBytes {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u32(value: number): this {
    const view = new DataView(new ArrayBuffer(4));
    view.setUint32(0, value, true);
    return this.raw(new Uint8Array(view.buffer));
  }

  u64(value: bigint | number): this {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(value), true);
    return this.raw(new Uint8Array(view.buffer));
  }

  string(text: string | Uint8Array): this {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    return this.u64(bytes.length).raw(bytes);
  }

  raw(bytes: ArrayLike<number>): this {
    for (let i = 0; i < bytes.length; i++) this.#bytes.push(bytes[i]);
    return this;
  }

  /** Magic, version and the two counts. */
  start(tensors: bigint | number, fields: bigint | number, version = 3): this {
    return this.raw(new TextEncoder().encode('GGUF')).u32(version).u64(tensors).u64(fields);
  }

  /** A tensor's entry; sizes innermost first, as the file has them. */
  tensor(name: string, sizes: readonly (bigint | number)[], type: number, offset: bigint | number): this {
    this.string(name).u32(sizes.length);
    for (const size of sizes) this.u64(size);
    return this.u32(type).u64(offset);
  }

  /** Zeros up to a multiple of `alignment`, then so many bytes of data. */
  data(bytes: number, alignment = 32): this {
    while (this.length % alignment !== 0) this.#bytes.push(0);
    return this.raw(new Uint8Array(bytes));
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

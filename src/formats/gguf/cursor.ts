import { readSync } from 'node:fs';
import { complain, type UserError } from '../../errors.ts';

/** Bytes of a file that are in memory at a time, but for single values that are longer. */
const WINDOW = 1 << 18;

/** The remedy for a file that ends too early. */
export const INCOMPLETE = 'the file is incomplete or damaged: download or write it again';
/** The remedy for a file whose bytes contradict each other. */
const DAMAGED = 'the file is damaged or no GGUF file: download or write it again';

/**
 * Little-endian values of an open file one after the other, through a window of bounded size.
 *
 * Lengths are compared with what is left of the file before anything is allocated for them.
 */
export class ByteCursor {
  readonly file: string;
  /** Bytes of the file. */
  readonly size: number;
  /** What is being read, for messages. */
  place = 'header';
  readonly #fd: number;
  readonly #window: Uint8Array;
  readonly #view: DataView;
  /** The window holds #filled bytes of the file from #start on, of which #at have been read. */
  #start = 0;
  #filled = 0;
  #at = 0;

  constructor(file: string, fd: number, size: number) {
    this.file = file;
    this.size = size;
    this.#fd = fd;
    this.#window = new Uint8Array(Math.min(WINDOW, size));
    this.#view = new DataView(this.#window.buffer);
  }

  /** Offset in the file of what comes next. */
  get position(): number {
    return this.#start + this.#at;
  }

  get remaining(): number {
    return this.size - this.position;
  }

  /** An error that names file, byte and place. */
  error(got: string, expected: string, remedy = DAMAGED): UserError {
    return complain({ where: `${this.file}: byte ${this.position}: ${this.place}`, got, expected, remedy });
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  i16(): number {
    return this.#view.getInt16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  f32(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#advance(8), true);
  }

  /** A u64 that counts something, at most `most`. */
  count(what: string, most: number): number {
    const value = this.u64();
    if (value <= BigInt(most)) return Number(value);
    this.#at -= 8;
    throw this.error(`${value} ${what}`, `at most ${most}`);
  }

  /** The number of elements of an array whose elements take at least so many bytes of the file each. */
  countOf(what: string, bytes: number): number {
    return this.count(what, Math.floor(Math.max(this.remaining - 8, 0) / bytes));
  }

  /** So many bytes; valid until the next call. */
  bytes(length: number): Uint8Array {
    if (length <= this.#window.length) {
      const at = this.#advance(length);
      return this.#window.subarray(at, at + length);
    }
    if (length > this.remaining) throw this.#truncated(length);
    const out = new Uint8Array(length);
    const held = this.#window.subarray(this.#at, this.#filled);
    out.set(held);
    this.#read(out, held.length, this.#start + this.#filled);
    this.#start += this.#at + length;
    this.#at = 0;
    this.#filled = 0;
    return out;
  }

  /** Room for `length` bytes in the window; returns where they begin. */
  #advance(length: number): number {
    if (this.#at + length > this.#filled) this.#fill(length);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  #fill(length: number): void {
    if (length > this.remaining) throw this.#truncated(length);
    this.#window.copyWithin(0, this.#at, this.#filled);
    this.#start += this.#at;
    this.#filled -= this.#at;
    this.#at = 0;
    const most = Math.min(this.#window.length, this.size - this.#start);
    this.#read(this.#window.subarray(0, most), this.#filled, this.#start + this.#filled);
    this.#filled = most;
  }

  /** Fills `out` from index `from` with the bytes of the file at `offset`. */
  #read(out: Uint8Array, from: number, offset: number): void {
    let done = from;
    while (done < out.length) {
      const count = readSync(this.#fd, out, done, out.length - done, offset + done - from);
      if (count === 0) throw this.error('a file that became shorter while it was read', `${this.size} bytes`);
      done += count;
    }
  }

  #truncated(length: number): UserError {
    return this.error(`the end of the file after ${this.remaining} more bytes`, `${length} bytes`, INCOMPLETE);
  }
}

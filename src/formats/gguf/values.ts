import type { ByteCursor } from './cursor.ts';

/** Kinds of number in metadata. */
type NumberType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64';
type BigType = 'u64' | 'i64';

/** A metadata value as it is read. */
export type GgufField =
  | { type: NumberType; value: number }
  | { type: BigType; value: bigint }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | GgufArray;

/** An array of values of one kind. */
export type GgufArray =
  | { type: 'array'; element: NumberType; value: Exclude<NumericArray, BigUint64Array | BigInt64Array> }
  | { type: 'array'; element: BigType; value: BigUint64Array | BigInt64Array }
  | { type: 'array'; element: 'bool'; value: readonly boolean[] }
  | { type: 'array'; element: 'string'; value: readonly string[] };

type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** Value types by their number in the format; 9 is an array. */
const TYPE_NAMES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;

const ARRAYS = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
} as const;

// A byte order mark is a part of a token, not a hint.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A string: u64 length, then UTF-8. */
export function readString(cursor: ByteCursor, most = Number.MAX_SAFE_INTEGER): string {
  const length = cursor.count('bytes in a string', Math.min(most, Math.max(cursor.remaining - 8, 0)));
  const bytes = cursor.bytes(length);
  try {
    return utf8.decode(bytes);
  } catch {
    throw cursor.error('a string that is not UTF-8', 'UTF-8');
  }
}

/** A value with the number of its type before it. */
export function readField(cursor: ByteCursor): GgufField {
  const type = readType(cursor);
  if (type === 'array') return readArray(cursor);
  if (type === 'string') return { type, value: readString(cursor) };
  if (type === 'bool') return { type, value: readBoolean(cursor) };
  if (type === 'u64' || type === 'i64') return { type, value: cursor[type]() };
  return { type, value: cursor[type]() };
}

function readArray(cursor: ByteCursor): GgufArray {
  const element = readType(cursor);
  // llama.cpp does not read arrays of arrays either.
  if (element === 'array') throw cursor.error('an array of arrays', 'an array of numbers, booleans or strings');
  if (element === 'string') return { type: 'array', element, value: repeat(cursor, 'strings', 8, readString) };
  if (element === 'bool') return { type: 'array', element, value: repeat(cursor, 'booleans', 1, readBoolean) };
  const Values = ARRAYS[element];
  const count = cursor.countOf('numbers', Values.BYTES_PER_ELEMENT);
  // A copy, so that the elements are aligned and outlive the cursor's window.
  const { buffer } = cursor.bytes(count * Values.BYTES_PER_ELEMENT).slice();
  return { type: 'array', element, value: new Values(buffer) } as GgufArray;
}

function repeat<T>(cursor: ByteCursor, what: string, bytes: number, read: (cursor: ByteCursor) => T): T[] {
  const count = cursor.countOf(what, bytes);
  const values: T[] = [];
  for (let i = 0; i < count; i++) values.push(read(cursor));
  return values;
}

function readBoolean(cursor: ByteCursor): boolean {
  const byte = cursor.u8();
  if (byte > 1) throw cursor.error(`the boolean ${byte}`, '0 or 1');
  return byte === 1;
}

function readType(cursor: ByteCursor): (typeof TYPE_NAMES)[number] {
  const id = cursor.u32();
  if (id >= TYPE_NAMES.length) throw cursor.error(`value type ${id}`, `0 to ${TYPE_NAMES.length - 1}`);
  return TYPE_NAMES[id];
}

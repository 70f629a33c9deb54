import { sizeOf } from '../../tensor/shape.ts';
import { type ByteCursor, INCOMPLETE } from './cursor.ts';
import { GgufMetadata } from './metadata.ts';
import { GGML_TYPES, type GgmlType, ggmlBytes } from './types.ts';
import { type GgufField, readField, readString } from './values.ts';

/** A tensor in a file. */
export interface GgufEntry {
  name: string;
  type: GgmlType;
  /** Outermost dimension first, as everywhere in dawntune. */
  shape: number[];
  /** Byte range in the file. */
  begin: number;
  end: number;
}

export interface GgufHeader {
  metadata: GgufMetadata;
  entries: Map<string, GgufEntry>;
}

/** Far above what models have; bounds the memory that a header of small entries takes. */
const MAX_ENTRIES = 65_536;
/** Bytes of the smallest metadata entry: length and letter of its key, type, value. */
const SMALLEST_FIELD = 8 + 1 + 4 + 1;
/** Bytes of the smallest tensor entry: length of its name, rank, type, offset. */
const SMALLEST_TENSOR = 8 + 4 + 4 + 8;
/** As the format document says. */
const MAX_KEY = 65_535;
/** ggml's GGML_MAX_NAME without the closing zero. */
const MAX_NAME = 63;
const MAX_RANK = 4;
/** "GGUF" as a little-endian number. */
const MAGIC = 0x46554747;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 1 << 20;

/** Tensor types of ggml that dawntune has no dequantiser for, by number, so that messages can name them. */
const OTHER_TYPES: Readonly<Record<number, string>> = {
  9: 'q8_1',
  15: 'q8_k',
  16: 'iq2_xxs',
  17: 'iq2_xs',
  18: 'iq3_xxs',
  19: 'iq1_s',
  21: 'iq3_s',
  22: 'iq2_s',
  24: 'i8',
  25: 'i16',
  26: 'i32',
  27: 'i64',
  28: 'f64',
  29: 'iq1_m',
  34: 'tq1_0',
  35: 'tq2_0',
  39: 'mxfp4',
  40: 'nvfp4',
};

const TYPES_BY_ID = new Map<number, GgmlType>(
  Object.entries(GGML_TYPES).map(([name, { id }]) => [id, name as GgmlType]),
);

/**
 * Reads and checks the header of a GGUF file, version 2 or 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md):
 * metadata, and tensors that lie within the file, aligned and apart from each other.
 *
 * @throws UserError naming file, byte, what was found there and the remedy
 */
export function parseGgufHeader(cursor: ByteCursor): GgufHeader {
  checkMagic(cursor);
  const tensors = cursor.count('tensors', Math.min(MAX_ENTRIES, Math.floor(cursor.remaining / SMALLEST_TENSOR)));
  const fields = cursor.count('metadata entries', Math.min(MAX_ENTRIES, Math.floor(cursor.remaining / SMALLEST_FIELD)));
  const metadata = readMetadata(cursor, fields);
  const alignment = alignmentOf(cursor, metadata);
  const infos = Array.from({ length: tensors }, (_, i) => {
    cursor.place = `tensor ${i + 1} of ${tensors}`;
    return readInfo(cursor, alignment);
  });
  cursor.place = 'tensors';
  return { metadata, entries: placeTensors(cursor, infos, alignment) };
}

function checkMagic(cursor: ByteCursor): void {
  const notGguf = 'pass a GGUF file or a Hugging Face directory';
  if (cursor.size < 24) throw cursor.error(`a file of ${cursor.size} bytes`, 'a GGUF file', notGguf);
  if (cursor.u32() !== MAGIC) throw cursor.error('a file that does not begin with "GGUF"', 'a GGUF file', notGguf);
  const version = cursor.u32();
  if (version !== 0 && (version & 0xffff) === 0)
    throw cursor.error(
      'a big-endian file',
      'a little-endian one',
      'convert it with gguf_convert_endian.py of llama.cpp',
    );
  if (version !== 2 && version !== 3)
    throw cursor.error(`version ${version}`, 'version 2 or 3', 'convert the model again with a current llama.cpp');
}

function readMetadata(cursor: ByteCursor, count: number): GgufMetadata {
  const fields = new Map<string, GgufField>();
  for (let i = 0; i < count; i++) {
    cursor.place = `metadata entry ${i + 1} of ${count}`;
    const key = readString(cursor, MAX_KEY);
    if (key === '' || fields.has(key))
      throw cursor.error(`the key ${quoted(key)}${key ? ' again' : ''}`, 'keys that differ');
    cursor.place = `metadata key ${quoted(key)}`;
    fields.set(key, readField(cursor));
  }
  return new GgufMetadata(cursor.file, fields);
}

function alignmentOf(cursor: ByteCursor, metadata: GgufMetadata): number {
  const alignment = metadata.whole('general.alignment', DEFAULT_ALIGNMENT);
  cursor.place = 'general.alignment';
  if (alignment < 1 || alignment > MAX_ALIGNMENT || !Number.isInteger(Math.log2(alignment)))
    throw cursor.error(String(alignment), `a power of two up to ${MAX_ALIGNMENT}`);
  return alignment;
}

/** A tensor's entry with the offset relative to the data, which begins after the last entry. */
interface Info {
  name: string;
  type: GgmlType;
  shape: number[];
  bytes: number;
  offset: number;
}

function readInfo(cursor: ByteCursor, alignment: number): Info {
  const name = readString(cursor, MAX_NAME);
  cursor.place = `tensor ${quoted(name)}`;
  const rank = cursor.u32();
  if (rank > MAX_RANK) throw cursor.error(`${rank} dimensions`, `at most ${MAX_RANK}`);
  const shape = Array.from({ length: rank }, () => cursor.count('elements in a dimension', Number.MAX_SAFE_INTEGER));
  const type = readTensorType(cursor);
  const elements = sizeOf(shape);
  const bytes = ggmlBytes(type, elements);
  // A product beyond 2^53 may be rounded, but not to a safe integer.
  if (elements < 1 || !Number.isSafeInteger(elements))
    throw cursor.error(`dimensions [${shape}]`, 'a number of elements from 1 to 2^53');
  if (bytes > cursor.size)
    throw cursor.error(
      `dimensions [${shape}], ${bytes} bytes`,
      `elements that fit into the file of ${cursor.size} bytes`,
      INCOMPLETE,
    );
  const row = shape[0] ?? 1;
  if (row % GGML_TYPES[type].block !== 0)
    throw cursor.error(`rows of ${row} elements in ${type}`, `a multiple of ${GGML_TYPES[type].block}`);
  const offset = cursor.count('bytes before the tensor', Number.MAX_SAFE_INTEGER);
  if (offset % alignment !== 0) throw cursor.error(`offset ${offset}`, `a multiple of ${alignment}`);
  return { name, type, shape: shape.reverse(), bytes, offset };
}

function readTensorType(cursor: ByteCursor): GgmlType {
  const id = cursor.u32();
  const type = TYPES_BY_ID.get(id);
  if (type) return type;
  const known = Object.keys(GGML_TYPES).join(', ');
  if (OTHER_TYPES[id])
    throw cursor.error(`type ${OTHER_TYPES[id]}`, known, 'quantise the model with llama.cpp to one of these types');
  throw cursor.error(`tensor type ${id}`, known);
}

function placeTensors(cursor: ByteCursor, infos: readonly Info[], alignment: number): Map<string, GgufEntry> {
  const start = Math.ceil(cursor.position / alignment) * alignment;
  const entries = new Map<string, GgufEntry>();
  for (const { name, type, shape, bytes, offset } of infos) {
    cursor.place = `tensor ${quoted(name)}`;
    if (entries.has(name)) throw cursor.error('its name twice', 'names that differ');
    const begin = start + offset;
    const end = begin + bytes;
    if (end > cursor.size)
      throw cursor.error(`an end at byte ${end}`, `one within the file of ${cursor.size} bytes`, INCOMPLETE);
    entries.set(name, { name, type, shape, begin, end });
  }
  const ordered = [...entries.values()].sort((a, b) => a.begin - b.begin);
  for (const [i, { name, begin }] of ordered.entries()) {
    const before = ordered[i - 1];
    cursor.place = `tensor ${quoted(name)}`;
    if (before && begin < before.end)
      throw cursor.error(`byte ${begin}, which lies inside ${quoted(before.name)}`, 'tensors that lie apart');
  }
  return entries;
}

/** A name from the file as a message may show it: without control characters, and not endless. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

import { clipped, UserError } from '../errors.ts';
import { sizeOf } from '../tensor/shape.ts';

/** Bytes of one element of each type that the format names and JavaScript can hold. */
export const SAFETENSORS_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U32: 4,
  U8: 1,
  BOOL: 1,
} as const;

export type SafetensorsDtype = keyof typeof SAFETENSORS_BYTES;

export interface SafetensorsEntry {
  name: string;
  dtype: SafetensorsDtype;
  shape: number[];
  /** Byte range in the file. */
  begin: number;
  end: number;
}

/** The reference implementation refuses larger headers; a lying length must not allocate gigabytes. */
const MAX_HEADER = 100_000_000;

/** What a download leaves in place of weights: how it begins, what it is, what helps. */
const OTHER_FILES: readonly (readonly [string, string, string])[] = [
  ['version https://', 'a pointer of Git LFS', 'fetch the file itself with `git lfs pull`'],
  ['<!DOCTYPE', 'a web page', 'download the file again, perhaps after logging in'],
  ['<html', 'a web page', 'download the file again, perhaps after logging in'],
  ['PK\x03\x04', "PyTorch's own format", 'convert it to safetensors'],
  ['GGUF', 'a GGUF file', 'pass safetensors weights'],
];

/** Types of the format that no JavaScript array holds, and so no weight of a Llama here. */
const UNSUPPORTED = /^(F8_|F6_|F4$|C64$|U16$|U64$)/;

interface Header {
  entries: Map<string, SafetensorsEntry>;
  metadata: Record<string, string>;
}

/**
 * Reads and checks the header: eight bytes of length, JSON, then data without gaps or overlaps.
 *
 * @param read gives `length` bytes at `offset`
 * @throws UserError naming file, tensor and remedy
 */
export async function parseHeader(
  file: string,
  fileBytes: number,
  read: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<Header> {
  const fail = (what: string): never => {
    throw new UserError(`${file}: ${what}; the file is damaged or not safetensors: download or save it again`);
  };
  const start = new TextDecoder('latin1').decode(await read(0, Math.min(fileBytes, 16)));
  const [other] = OTHER_FILES.filter(([beginning]) => start.startsWith(beginning));
  if (other) throw new UserError(`${file}: is ${other[1]}, not safetensors; ${other[2]}`);
  if (fileBytes < 8) fail(`has ${fileBytes} bytes, expected at least 8`);
  const prefix = await read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER) || length + 8n > BigInt(fileBytes))
    fail(`claims a header of ${length} bytes in a file of ${fileBytes}`);
  const dataStart = 8 + Number(length);
  const header = parseJson(await read(8, Number(length)), fail);
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    entries.set(name, entryOf(file, name, value, dataStart, fileBytes, fail));
  }
  checkNoGaps([...entries.values()], dataStart, fileBytes, fail);
  return { entries, metadata: stringRecord(header.__metadata__) };
}

type Fail = (what: string) => never;

function parseJson(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Falls through to the same message: not JSON, or not UTF-8.
  }
  return fail('has a header that is not a JSON object');
}

function entryOf(
  file: string,
  name: string,
  value: unknown,
  dataStart: number,
  fileBytes: number,
  fail: Fail,
): SafetensorsEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype === 'string' && UNSUPPORTED.test(dtype))
    throw new UserError(
      `${file}: tensor ${name} has dtype ${clipped(dtype, 20)}, expected F32, F16, BF16 or F64; use a checkpoint in one of these`,
    );
  if (typeof dtype !== 'string' || !Object.hasOwn(SAFETENSORS_BYTES, dtype))
    fail(
      `tensor ${name} has dtype ${clipped(JSON.stringify(dtype) ?? 'nothing', 60)}, expected one of ${Object.keys(SAFETENSORS_BYTES).join(', ')}`,
    );
  const whole = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(whole) || !Number.isSafeInteger(sizeOf(shape)))
    fail(`tensor ${name} has shape ${clipped(JSON.stringify(shape) ?? 'nothing', 60)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole))
    fail(`tensor ${name} has data_offsets ${clipped(JSON.stringify(offsets) ?? 'nothing', 60)}`);
  const [begin, end] = offsets as [number, number];
  const expected = sizeOf(shape as number[]) * SAFETENSORS_BYTES[dtype as SafetensorsDtype];
  if (end - begin !== expected)
    fail(`tensor ${name} spans ${end - begin} bytes, expected ${expected} for ${dtype} [${shape}]`);
  if (dataStart + end > fileBytes) fail(`is truncated: tensor ${name} ends at byte ${dataStart + end} of ${fileBytes}`);
  return {
    name,
    dtype: dtype as SafetensorsDtype,
    shape: shape as number[],
    begin: dataStart + begin,
    end: dataStart + end,
  };
}

function checkNoGaps(entries: readonly SafetensorsEntry[], dataStart: number, fileBytes: number, fail: Fail): void {
  let at = dataStart;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at) fail(`tensor ${name} begins at byte ${begin}, expected ${at}`);
    at = end;
  }
  if (at !== fileBytes) fail(`has ${fileBytes - at} bytes after its last tensor`);
}

function stringRecord(value: unknown): Record<string, string> {
  const record: Record<string, string> = {};
  for (const [key, text] of Object.entries(value ?? {})) if (typeof text === 'string') record[key] = text;
  return record;
}

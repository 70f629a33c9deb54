import { existsSync } from 'node:fs';
import type { z } from 'zod';
import { UserError } from '../errors.ts';
import { readJsonFile } from '../files/json.ts';
import { toFloat32 } from '../formats/elements.ts';
import { SafetensorsFile } from '../formats/safetensors.ts';
import type { SafetensorsDtype } from '../formats/safetensors-header.ts';

/** A tensor of a reference file on the host. */
export interface ReferenceArray {
  shape: readonly number[];
  data: Float32Array | Int32Array | Uint8Array;
}

export type Arrays = ReadonlyMap<string, ReferenceArray>;

/** Reads a whole safetensors file; reference files are small. */
export async function readArrays(file: string): Promise<Arrays> {
  if (!existsSync(file)) throw new UserError(`${file}: missing; name a directory that has it`);
  const source = await SafetensorsFile.open(file);
  try {
    const arrays = new Map<string, ReferenceArray>();
    for (const { name, shape, dtype } of source.entries.values()) {
      const data = elementsOf(await source.bytes(name), dtype, name);
      if (!data.every(Number.isFinite))
        throw new UserError(`${file}: tensor ${name} has values that are not finite; write the reference data again`);
      arrays.set(name, { shape, data });
    }
    return arrays;
  } finally {
    await source.close();
  }
}

/** Whole numbers stay whole; 64 bits are how PyTorch writes token ids. */
function elementsOf(bytes: Uint8Array, dtype: SafetensorsDtype, name: string): ReferenceArray['data'] {
  if (dtype === 'U8') return bytes;
  if (dtype === 'I32') return new Int32Array(bytes.buffer);
  if (dtype === 'I64') return Int32Array.from(new BigInt64Array(bytes.buffer), Number);
  return toFloat32(bytes, dtype, name);
}

/** @throws UserError naming the tensor when it is not there */
export function arrayOf(arrays: Arrays, name: string): ReferenceArray {
  const found = arrays.get(name);
  if (!found)
    throw new UserError(`reference: no tensor ${name}; the file has ${[...arrays.keys()].slice(0, 5).join(', ')} …`);
  return found;
}

/** @throws UserError when the file is missing, no JSON or of another form */
export function readJson<T>(file: string, schema: z.ZodType<T>): T {
  if (!existsSync(file)) throw new UserError(`${file}: missing; name a directory that has it`);
  const result = schema.safeParse(readJsonFile(file, 'write the reference data again'));
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw new UserError(`${file}: ${path.join('.')}: ${message}; write the reference data again`);
}

/** Cases of a file by the part that each must have, such as `gauss` of `gauss.input`. */
export function casesOf(arrays: Arrays, file: string, part: string): string[] {
  const names = new Set([...arrays.keys()].filter((key) => key.includes('.')).map((key) => key.split('.')[0]));
  if (names.size === 0) throw new UserError(`${file}: no case; write the reference data again`);
  for (const name of names) arrayOf(arrays, `${name}.${part}`);
  return [...names];
}

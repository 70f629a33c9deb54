import { existsSync, readFileSync } from 'node:fs';
import { UserError } from '../errors.ts';
import { toFloat32 } from '../formats/elements.ts';
import { SafetensorsFile } from '../formats/safetensors.ts';

/** A tensor of a reference file on the host. */
export interface ReferenceArray {
  shape: readonly number[];
  data: Float32Array | Int32Array | Uint8Array;
}

export type Arrays = ReadonlyMap<string, ReferenceArray>;

/** Reads a whole safetensors file; reference files are small. */
export async function readArrays(file: string): Promise<Arrays> {
  if (!existsSync(file)) throw new UserError(`${file}: missing; a reference directory needs it`);
  const source = await SafetensorsFile.open(file);
  const arrays = new Map<string, ReferenceArray>();
  for (const { name, shape, dtype } of source.entries.values()) {
    const bytes = await source.bytes(name);
    const data =
      dtype === 'I32' ? new Int32Array(bytes.buffer) : dtype === 'U8' ? bytes : toFloat32(bytes, dtype, name);
    arrays.set(name, { shape, data });
  }
  await source.close();
  return arrays;
}

/** @throws UserError naming the tensor when it is not there */
export function arrayOf(arrays: Arrays, name: string): ReferenceArray {
  const found = arrays.get(name);
  if (!found)
    throw new UserError(`reference: no tensor ${name}; the file has ${[...arrays.keys()].slice(0, 5).join(', ')} …`);
  return found;
}

export function readJson(file: string): unknown {
  if (!existsSync(file)) throw new UserError(`${file}: missing; a reference directory needs it`);
  return JSON.parse(readFileSync(file, 'utf8'));
}

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { UserError } from '../errors.ts';
import { fromFloat32, toFloat32 } from './elements.ts';
import { type PeftConfig, parsePeftConfig, peftConfigJson } from './peft-config.ts';
import { SafetensorsFile } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { writeFileAtomic } from './write-file.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

/** A PEFT adapter on the host. */
export interface SavedAdapter {
  config: PeftConfig;
  /** By PEFT's key, for example `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  tensors: Map<string, Float32Array>;
}

/**
 * Reads a PEFT adapter directory.
 *
 * @throws UserError naming the file that is missing, damaged or not supported
 */
export async function readAdapter(dir: string): Promise<SavedAdapter> {
  const file = path.join(dir, CONFIG);
  for (const needed of [file, path.join(dir, WEIGHTS)])
    if (!existsSync(needed))
      throw new UserError(`${needed}: missing; pass a directory that PEFT or dawntune saved an adapter to`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UserError(`${file}: is not JSON (${(error as Error).message}); save the adapter again`);
  }
  const config = parsePeftConfig(json, file);
  const source = await SafetensorsFile.open(path.join(dir, WEIGHTS));
  const tensors = new Map<string, Float32Array>();
  for (const { name, dtype } of source.entries.values())
    tensors.set(name, toFloat32(await source.bytes(name), dtype, name));
  await source.close();
  return { config, tensors };
}

/** Writes an adapter directory that `PeftModel.from_pretrained` opens; tensors in f32 by PEFT's keys. */
export async function writeAdapter(
  dir: string,
  config: PeftConfig,
  tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
): Promise<void> {
  mkdirSync(dir, { recursive: true });
  await writeSafetensors(
    path.join(dir, WEIGHTS),
    [...tensors].map(([name, { shape, data }]) => ({
      name,
      dtype: 'F32',
      shape,
      bytes: () => fromFloat32(data, 'F32'),
    })),
  );
  writeFileAtomic(path.join(dir, CONFIG), `${JSON.stringify(peftConfigJson(config), null, 2)}\n`);
}

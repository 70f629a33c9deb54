import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { complain, UserError } from '../errors.ts';
import { readJsonFile } from '../files/json.ts';
import { writeFileAtomic } from '../files/write-file.ts';
import { fromFloat32, toFloat32 } from './elements.ts';
import { type PeftConfig, parsePeftConfig, peftConfigJson, rankOf } from './peft-config.ts';
import { SafetensorsFile } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

/** A PEFT adapter on the host. */
export interface SavedAdapter {
  config: PeftConfig;
  /** By PEFT's key, for example `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  tensors: Map<string, Float32Array>;
}

/**
 * Reads the configuration of a PEFT adapter directory.
 *
 * @throws UserError when it is missing, damaged or not supported
 */
export function readAdapterConfig(dir: string): PeftConfig {
  const file = path.join(dir, CONFIG);
  checkThere(file);
  return parsePeftConfig(readJsonFile(file, 'save the adapter again'), file);
}

function checkThere(file: string): void {
  const dir = path.dirname(file);
  if (statSync(dir, { throwIfNoEntry: false })?.isFile())
    throw complain({
      where: dir,
      got: dir.toLowerCase().endsWith('.gguf') ? 'a GGUF file' : 'a file',
      expected: "an adapter's directory",
      remedy: `pass the directory that ${CONFIG} and ${WEIGHTS} are in`,
    });
  if (!existsSync(file))
    throw new UserError(`${file}: missing; pass a directory that PEFT or dawntune saved an adapter to, in safetensors`);
}

/**
 * Reads a PEFT adapter directory.
 *
 * @throws UserError naming the file that is missing, damaged or not supported
 */
export async function readAdapter(dir: string): Promise<SavedAdapter> {
  const config = readAdapterConfig(dir);
  checkThere(path.join(dir, WEIGHTS));
  const source = await SafetensorsFile.open(path.join(dir, WEIGHTS));
  try {
    const tensors = new Map<string, Float32Array>();
    for (const { name, dtype, shape } of source.entries.values()) {
      checkRank(source.file, name, shape, config);
      tensors.set(name, toFloat32(await source.bytes(name), dtype, `${source.file}: tensor ${name}`));
    }
    return { config, tensors };
  } finally {
    await source.close();
  }
}

/** A [r, in] and B [out, r]; a matrix saved the other way round has as many elements. */
function checkRank(file: string, name: string, shape: readonly number[], config: PeftConfig): void {
  const matrix = /^(?:base_model\.model\.)?(.*)\.lora_([AB])\.weight$/.exec(name);
  if (!matrix) return;
  const r = rankOf(config, matrix[1]);
  if (shape.length === 2 && shape[matrix[2] === 'A' ? 0 : 1] === r) return;
  throw complain({
    where: `${file}: tensor ${name}`,
    got: `shape [${shape}]`,
    expected: `[${matrix[2] === 'A' ? `${r}, in` : `out, ${r}`}] for the rank ${r} of ${CONFIG}`,
    remedy: 'use the configuration that was saved with these weights',
  });
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

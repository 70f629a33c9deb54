import { Checkpoint } from '../formats/checkpoint.ts';
import { readGgufConfig } from '../formats/gguf/llama-config.ts';
import { GgufFile, isGguf } from '../formats/gguf/reader.ts';
import { type LlamaConfig, readLlamaConfig } from '../formats/hf-config.ts';
import { checkNames } from './check-names.ts';
import { GgufWeights } from './gguf-weights.ts';
import { weightShapes } from './init.ts';
import { checkpointRows, type WeightRows } from './weight-rows.ts';
import { checkShape, type WeightSource } from './weight-source.ts';

/**
 * Opens a Hugging Face directory or a GGUF file.
 *
 * @throws UserError for what is missing, damaged or not supported
 */
export async function openWeights(model: string): Promise<WeightSource> {
  if (!isGguf(model)) return openDirectory(model);
  const file = await GgufFile.open(model);
  try {
    return new GgufWeights(file, await readGgufConfig(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openDirectory(dir: string): Promise<WeightSource> {
  const config = readLlamaConfig(dir);
  const checkpoint = await Checkpoint.open(dir);
  try {
    checkNames(dir, checkpoint.names, new Set(weightShapes(config).keys()));
    return new DirectoryWeights(config, checkpoint);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Safetensors and config.json. */
class DirectoryWeights implements WeightSource {
  readonly config: LlamaConfig;
  readonly #checkpoint: Checkpoint;

  constructor(config: LlamaConfig, checkpoint: Checkpoint) {
    this.config = config;
    this.#checkpoint = checkpoint;
  }

  async floats(name: string, shape: readonly number[]): Promise<Float32Array> {
    checkShape(this.#checkpoint.dir, name, this.#checkpoint.entry(name).shape, shape);
    return this.#checkpoint.floats(name);
  }

  rows(name: string, shape: readonly number[]): WeightRows | null {
    if (this.#isNf4(name)) return null;
    checkShape(this.#checkpoint.dir, name, this.#checkpoint.entry(name).shape, shape);
    return checkpointRows(this.#checkpoint, name);
  }

  nf4Parts(name: string): Promise<Map<string, Uint8Array>> | null {
    return this.#isNf4(name) ? this.#readParts(name) : null;
  }

  async close(): Promise<void> {
    await this.#checkpoint.close();
  }

  #isNf4(name: string): boolean {
    return this.config.quantized && this.#checkpoint.has(`${name}.absmax`);
  }

  async #readParts(name: string): Promise<Map<string, Uint8Array>> {
    const parts = this.#checkpoint.names.filter((part) => part === name || part.startsWith(`${name}.`));
    const bytes = new Map<string, Uint8Array>();
    for (const part of parts) bytes.set(part.slice(name.length), await this.#checkpoint.bytes(part));
    return bytes;
  }
}

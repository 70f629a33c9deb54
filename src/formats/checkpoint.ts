import { existsSync } from 'node:fs';
import path from 'node:path';
import { clipped, UserError } from '../errors.ts';
import { readJsonFile } from '../files/json.ts';
import { toFloat32 } from './elements.ts';
import { type SafetensorsEntry, SafetensorsFile } from './safetensors.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** The weights of a Hugging Face directory, in one file or in shards, read tensor by tensor. */
export class Checkpoint {
  readonly dir: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #owner: ReadonlyMap<string, SafetensorsFile>;

  private constructor(dir: string, files: readonly SafetensorsFile[]) {
    this.dir = dir;
    this.#files = files;
    this.#owner = new Map(files.flatMap((file) => [...file.entries.keys()].map((name) => [name, file] as const)));
  }

  /**
   * Opens model.safetensors, or all shards that model.safetensors.index.json names.
   *
   * @throws UserError for a directory without weights, a shard that is missing, and damaged files
   */
  static async open(dir: string): Promise<Checkpoint> {
    const files: SafetensorsFile[] = [];
    try {
      for (const name of shardNames(dir)) files.push(await SafetensorsFile.open(path.join(dir, name)));
      const checkpoint = new Checkpoint(dir, files);
      checkpoint.#checkIndex();
      return checkpoint;
    } catch (error) {
      for (const file of files) await file.close();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.#owner.keys()];
  }

  has(name: string): boolean {
    return this.#owner.has(name);
  }

  entry(name: string): SafetensorsEntry {
    return this.#fileOf(name).entry(name);
  }

  async bytes(name: string): Promise<Uint8Array> {
    return this.#fileOf(name).bytes(name);
  }

  /** A part of a tensor's bytes, so many from a place in it. */
  async range(name: string, at: number, length: number): Promise<Uint8Array> {
    return this.#fileOf(name).range(name, at, length);
  }

  /** A floating-point tensor in f32. */
  async floats(name: string): Promise<Float32Array> {
    return toFloat32(await this.bytes(name), this.entry(name).dtype, `${this.dir}: tensor ${name}`);
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
  }

  #fileOf(name: string): SafetensorsFile {
    const file = this.#owner.get(name);
    if (!file)
      throw new UserError(
        `${this.dir}: has no tensor ${name}; check that the weights belong to config.json and are complete`,
      );
    return file;
  }

  #checkIndex(): void {
    if (!existsSync(path.join(this.dir, INDEX)) || existsSync(path.join(this.dir, SINGLE))) return;
    for (const [name, shard] of Object.entries(weightMap(this.dir)))
      if (path.basename(this.#owner.get(name)?.file ?? '') !== shard)
        throw new UserError(
          `${path.join(this.dir, shard)}: has no tensor ${name}, which ${INDEX} places there; download it again`,
        );
  }
}

function shardNames(dir: string): string[] {
  if (existsSync(path.join(dir, SINGLE))) return [SINGLE];
  if (!existsSync(path.join(dir, INDEX)))
    throw new UserError(
      `${dir}: has neither ${SINGLE} nor ${INDEX}; pass a Hugging Face model directory with safetensors weights (PyTorch's .bin files have to be converted)`,
    );
  const names = [...new Set(Object.values(weightMap(dir)))];
  for (const name of names)
    if (path.basename(name) !== name || !existsSync(path.join(dir, name)))
      throw new UserError(`${dir}: shard ${clipped(name)} of ${INDEX} is missing; download it`);
  return names;
}

function weightMap(dir: string): Record<string, string> {
  const file = path.join(dir, INDEX);
  const { weight_map: map } = (readJsonFile(file, 'download it again') ?? {}) as {
    weight_map?: Record<string, string>;
  };
  const valid = map && typeof map === 'object' && !Array.isArray(map) && Object.keys(map).length > 0;
  if (valid && Object.values(map).every((name) => typeof name === 'string')) return map;
  throw new UserError(`${file}: has no weight_map of tensor names to files; download it again`);
}

import path from 'node:path';
import { complain } from '../../errors.ts';
import { alignmentOf, GgufOutput, type GgufTensorInfo, type GgufValue, paddedBytes } from './writer.ts';

/** One of the files of a model. */
export interface GgufShard {
  file: string;
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: readonly GgufTensorInfo[];
}

/** The number of files is stored in 16 bits. */
const MOST = 65_535;

/**
 * Divides a model among files as llama.cpp's gguf-split does: in order, as many tensors in a file as fit, all metadata
 * in the first. A tensor that is larger than a file may be has one for itself.
 *
 * @param file name without a division; it stays the name of a model that fits in one file
 * @param maxBytes most bytes of tensors in a file; headers are not counted
 */
export function shardsOf(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensorInfo[],
  maxBytes: number,
): GgufShard[] {
  const alignment = alignmentOf(metadata);
  const groups: GgufTensorInfo[][] = [[]];
  let used = 0;
  for (const tensor of tensors) {
    const bytes = paddedBytes(tensor, alignment);
    if (used > 0 && used + bytes > maxBytes) {
      groups.push([]);
      used = 0;
    }
    groups[groups.length - 1].push(tensor);
    used += bytes;
  }
  if (groups.length === 1) return [{ file, metadata, tensors }];
  if (groups.length > MOST)
    throw complain({
      where: '--split-max-size',
      got: `${maxBytes} bytes, which gives ${groups.length} files`,
      expected: `at most ${MOST} files`,
      remedy: 'allow larger ones',
    });
  return groups.map((group, index) => ({
    file: shardName(file, index, groups.length),
    metadata: new Map<string, GgufValue>([
      ...(index === 0 ? metadata : [...metadata].filter(([key]) => key === 'general.alignment')),
      ['split.no', { type: 'u16', value: index }],
      ['split.count', { type: 'u16', value: groups.length }],
      ['split.tensors.count', { type: 'i32', value: tensors.length }],
    ]),
    tensors: group,
  }));
}

/** `model.gguf` becomes `model-00001-of-00003.gguf`; llama.cpp finds the others by the first one's name. */
function shardName(file: string, index: number, count: number): string {
  const digits = (number: number) => String(number).padStart(5, '0');
  const name = `${path.basename(file, '.gguf')}-${digits(index + 1)}-of-${digits(count)}.gguf`;
  return path.join(path.dirname(file), name);
}

/**
 * Reads a size such as 2G or 500M, in powers of 1000 as gguf-split does.
 *
 * @throws UserError for another form
 */
export function parseSize(text: string): number {
  const [, number, unit] = /^([1-9]\d*)([KMG])$/i.exec(text.trim()) ?? [];
  const bytes = Number(number) * { K: 1e3, M: 1e6, G: 1e9 }[unit?.toUpperCase() as 'K' | 'M' | 'G'];
  if (!number || !Number.isSafeInteger(bytes))
    throw complain({
      where: '--split-max-size',
      got: text,
      expected: 'a whole number followed by K, M or G',
      remedy: 'for example 2G',
    });
  return bytes;
}

/** A model in the making, in one file or several; see {@link GgufOutput}. */
export class ShardedOutput {
  readonly #outputs: readonly GgufOutput[];
  readonly #owner: ReadonlyMap<string, GgufOutput>;

  private constructor(outputs: readonly GgufOutput[], owner: ReadonlyMap<string, GgufOutput>) {
    this.#outputs = outputs;
    this.#owner = owner;
  }

  /** @throws UserError when a file cannot be created; none is left then */
  static async create(shards: readonly GgufShard[]): Promise<ShardedOutput> {
    const outputs: GgufOutput[] = [];
    const owner = new Map<string, GgufOutput>();
    try {
      for (const { file, metadata, tensors } of shards) {
        const output = await GgufOutput.create(file, metadata, tensors);
        outputs.push(output);
        for (const { name } of tensors) owner.set(name, output);
      }
      return new ShardedOutput(outputs, owner);
    } catch (error) {
      for (const output of outputs) await output.discard();
      throw error;
    }
  }

  get files(): string[] {
    return this.#outputs.map(({ file }) => file);
  }

  async write(name: string, at: number, bytes: Uint8Array): Promise<void> {
    await (this.#owner.get(name) as GgufOutput).write(name, at, bytes);
  }

  async complete(): Promise<void> {
    for (const output of this.#outputs) await output.complete();
  }

  async publish(): Promise<void> {
    for (const output of this.#outputs) await output.publish();
  }

  async discard(): Promise<void> {
    for (const output of this.#outputs) await output.discard();
  }
}

import { complain } from '../errors.ts';
import { reorderedHeads, separateHeads } from '../formats/gguf/heads.ts';
import { ggufName, ROPE_FACTORS } from '../formats/gguf/names.ts';
import type { GgufFile } from '../formats/gguf/reader.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { dequantizeGgml } from '../quant/ggml/quantize.ts';
import { sizeOf } from '../tensor/shape.ts';
import { weightShapes } from './init.ts';
import { computedRows, type WeightRows } from './weight-rows.ts';
import { checkShape, type WeightSource } from './weight-source.ts';

/** The weights of a Llama in a GGUF file: dequantised as ggml does, with rows in Hugging Face's order. */
export class GgufWeights implements WeightSource {
  readonly config: LlamaConfig;
  readonly #file: GgufFile;

  /** @throws UserError for tensors that a plain Llama does not have, such as biases */
  constructor(file: GgufFile, config: LlamaConfig) {
    this.#file = file;
    this.config = config;
    const known = new Set([ROPE_FACTORS, ...[...weightShapes(config).keys()].map(ggufName)]);
    const extra = file.names.find((name) => !known.has(name));
    if (extra !== undefined)
      throw complain({
        where: file.file,
        got: `tensor ${extra}`,
        expected: 'only the tensors of a Llama without biases and experts',
        remedy: 'use a plain Llama model',
      });
  }

  async floats(name: string, expected: readonly number[]): Promise<Float32Array> {
    const own = ggufName(name);
    const { type, shape } = this.#file.entry(own);
    checkShape(this.#file.file, own, shape, expected);
    const values = dequantizeGgml(type, await this.#file.bytes(own), sizeOf(shape));
    const heads = reorderedHeads(name, this.config);
    return heads > 0 ? separateHeads(values, heads, shape[0]) : values;
  }

  rows(name: string, shape: readonly number[]): WeightRows {
    checkShape(this.#file.file, ggufName(name), this.#file.entry(ggufName(name)).shape, shape);
    return computedRows({ name, shape, values: () => this.floats(name, shape) });
  }

  nf4Parts(): null {
    return null;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

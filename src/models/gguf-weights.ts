import { complain } from '../errors.ts';
import { fromFloat32 } from '../formats/elements.ts';
import { reorderedHeads, separateHeads } from '../formats/gguf/heads.ts';
import { ggufName, ROPE_FACTORS } from '../formats/gguf/names.ts';
import type { GgufEntry, GgufFile } from '../formats/gguf/reader.ts';
import { ggmlBytes } from '../formats/gguf/types.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { dequantizeGgml } from '../quant/ggml/quantize.ts';
import { weightShapes } from './init.ts';
import { computedRows, matrixShape, type WeightRows } from './weight-rows.ts';
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
    const { rows } = matrixShape(expected);
    const values = await this.#dequantize(this.#tensor(name, expected), 0, rows);
    const heads = reorderedHeads(name, this.config);
    return heads > 0 ? separateHeads(values, heads, rows) : values;
  }

  rows(name: string, shape: readonly number[]): WeightRows {
    const tensor = this.#tensor(name, shape);
    if (reorderedHeads(name, this.config) > 0)
      return computedRows({ name, shape, values: () => this.floats(name, shape) });
    const rows = async (first: number, count: number) =>
      fromFloat32(await this.#dequantize(tensor, first, count), 'F32');
    return { name, shape, dtype: 'F32', rows };
  }

  #tensor(name: string, expected: readonly number[]): GgufEntry {
    const tensor = this.#file.entry(ggufName(name));
    checkShape(this.#file.file, tensor.name, tensor.shape, expected);
    return tensor;
  }

  /** Rows as they are in the file; each is a whole number of blocks. */
  async #dequantize({ name, type, shape }: GgufEntry, first: number, count: number): Promise<Float32Array> {
    const { width } = matrixShape(shape);
    const bytes = ggmlBytes(type, width);
    return dequantizeGgml(type, await this.#file.range(name, first * bytes, count * bytes), count * width);
  }

  nf4Parts(): null {
    return null;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

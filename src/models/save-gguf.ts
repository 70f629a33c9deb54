import os from 'node:os';
import path from 'node:path';
import { complain } from '../errors.ts';
import { fallbackNote, type MatrixType } from '../formats/gguf/fallbacks.ts';
import { reorderedHeads } from '../formats/gguf/heads.ts';
import type { ImportanceMatrix } from '../formats/gguf/imatrix.ts';
import { type Mix, type MixModel, mixType } from '../formats/gguf/mixes.ts';
import { ggufName, ROPE_FACTORS } from '../formats/gguf/names.ts';
import { ShardedOutput, shardsOf } from '../formats/gguf/shards.ts';
import { tokenizerMetadata } from '../formats/gguf/tokenizer.ts';
import { ggmlBytes } from '../formats/gguf/types.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { ropeFactors } from '../formats/rope.ts';
import { EncodePool } from '../quant/ggml/encode-pool.ts';
import { importanceMetadata, modelMetadata } from './gguf-metadata.ts';
import { InFlight } from './in-flight.ts';
import { computedRows, matrixShape, type WeightRows } from './weight-rows.ts';

/** Elements that are read, encoded and written at a time. */
const CHUNK = 2 ** 20;
/** A smaller model is encoded before threads have started. */
const WORTH_THREADS = 2 ** 22;

export interface LlamaGguf {
  /** What to write; all files come from one pass over the weights. */
  files: readonly { file: string; mix: Mix }[];
  config: LlamaConfig;
  /** Directory with tokenizer.json and tokenizer_config.json, or a GGUF file. */
  tokenizerDir: string;
  /** Jinja template to put into the file; the tokenizer's own if null. */
  chatTemplate: string | null;
  weights: readonly WeightRows[];
  /** Name shown by programs that open the file. */
  name?: string;
  /** How much each column of a matrix matters. */
  importance?: ImportanceMatrix;
  /** Most bytes of tensors in a file; a larger model is divided. */
  splitMaxBytes?: number;
  /** Threads that encode; all cores if left out. */
  threads?: number;
  /** Told in a sentence what a reader of the names of the files would not expect. */
  warn?: (line: string) => void;
  /** Told how many elements of how many are done. */
  report?: (done: number, total: number) => void;
}

/**
 * Writes a Llama as GGUF files that llama.cpp and Ollama open: names, metadata and the order of the rows of q and k are
 * as llama.cpp's own converter has them, types and bytes as its quantiser makes them from an f16 file.
 *
 * Weights are read a few rows at a time, encoded on all cores, and written when they are ready.
 *
 * @returns the files written
 * @throws UserError for tokenizers that the format has no place for, and when a file cannot be written; nothing is
 *   left behind then
 */
export async function writeLlamaGguf(job: LlamaGguf): Promise<string[]> {
  const tensors = plan(job);
  const matrices = tensors.filter(({ weight }) => weight.shape.length > 1);
  for (const [index, { file }] of job.files.entries()) {
    const note = fallbackNote(
      path.basename(file, '.gguf'),
      matrices.map(({ types }) => types[index]),
    );
    if (note) job.warn?.(note);
  }
  const total = tensors.reduce((sum, { rows, width }) => sum + rows * width, 0);
  const pool = new EncodePool(total < WORTH_THREADS ? 0 : (job.threads ?? os.availableParallelism()));
  const inFlight = new InFlight(pool.capacity);
  const outputs: ShardedOutput[] = [];
  try {
    for (const index of job.files.keys()) outputs.push(await openOutput(job, index, tensors, total));
    let done = 0;
    for (const tensor of tensors)
      for (const { first, count } of chunks(tensor)) {
        const bytes = await tensor.weight.rows(first, count);
        await inFlight.start(async () => {
          await encodeChunk(tensor, first, bytes, pool, outputs);
          done += count * tensor.width;
          job.report?.(done, total);
        });
      }
    await inFlight.finish();
    for (const output of outputs) await output.complete();
    for (const output of outputs) await output.publish();
    return outputs.flatMap(({ files }) => files);
  } catch (error) {
    await inFlight.settle();
    for (const output of outputs) await output.discard();
    throw error;
  } finally {
    await pool.close();
  }
}

/** A tensor of the files: where it comes from and what becomes of it. */
interface PlannedTensor {
  weight: WeightRows;
  /** In GGUF. */
  name: string;
  rows: number;
  width: number;
  /** Rows of a head to interleave, or 0. */
  headRows: number;
  /** In each of the files. */
  types: readonly MatrixType[];
  importance: Float32Array | null;
}

function plan({ files, config, weights, importance }: LlamaGguf): PlannedTensor[] {
  const model: MixModel = {
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    groups: config.num_key_value_heads,
    tied: !weights.some(({ name }) => name === 'lm_head.weight'),
    importance: importance !== undefined,
  };
  const named = [
    ...ropeWeights(config).map((weight) => ({ weight, name: weight.name })),
    ...weights.map((weight) => ({ weight, name: ggufName(weight.name) })),
  ];
  return named.map(({ weight, name }) => ({
    weight,
    name,
    ...matrixShape(weight.shape),
    headRows: reorderedHeads(weight.name, config) > 0 ? config.head_dim : 0,
    types: files.map(({ mix }) => mixType(mix, name, weight.shape, model)),
    importance: importance ? importanceOf(importance, name, weight.shape) : null,
  }));
}

/** Frequency factors such as Llama 3's travel as a tensor; other scalings are metadata or nothing. */
function ropeWeights(config: LlamaConfig): WeightRows[] {
  const type = config.rope.scaling?.type;
  if (type !== 'llama3' && type !== 'factors') return [];
  const values = async () => Float32Array.from(ropeFactors(config));
  return [computedRows({ name: ROPE_FACTORS, shape: [config.head_dim / 2], values })];
}

/** @throws UserError for importances of another model */
function importanceOf(
  { file, columns: all }: ImportanceMatrix,
  name: string,
  shape: readonly number[],
): Float32Array | null {
  const columns = all.get(name);
  const { width } = matrixShape(shape);
  if (!columns || columns.length === width) return columns ?? null;
  // Embeddings are looked up, not multiplied: what tools have recorded for them are not their columns.
  if (name === 'token_embd.weight') return null;
  throw complain({
    where: `${file}: ${name}`,
    got: `${columns.length} importances`,
    expected: `${width}, one for each column`,
    remedy: 'use the importance matrix of this model',
  });
}

async function openOutput(
  { files, config, tokenizerDir, chatTemplate, name, importance, splitMaxBytes = Infinity }: LlamaGguf,
  index: number,
  tensors: readonly PlannedTensor[],
  parameters: number,
): Promise<ShardedOutput> {
  const { file, mix } = files[index];
  const metadata = new Map([
    ...modelMetadata(config, mix, { name: name ?? path.basename(file, '.gguf'), parameters }),
    ...tokenizerMetadata(tokenizerDir, config, chatTemplate),
    ...(importance ? importanceMetadata(importance) : []),
  ]);
  const infos = tensors.map(({ name, weight: { shape }, types }) => ({ name, shape, type: types[index].type }));
  return ShardedOutput.create(shardsOf(file, metadata, infos, splitMaxBytes));
}

/** Ranges of rows that are read and encoded at a time, in whole heads where rows of a head change places. */
function* chunks({ rows, width, headRows }: PlannedTensor): Generator<{ first: number; count: number }> {
  const unit = Math.max(1, headRows);
  const step = Math.max(1, Math.floor(CHUNK / (width * unit))) * unit;
  for (let first = 0; first < rows; first += step) yield { first, count: Math.min(step, rows - first) };
}

/** Encodes rows once for each type that occurs and writes them to all files. */
async function encodeChunk(
  { weight, name, width, headRows, types, importance }: PlannedTensor,
  first: number,
  bytes: Uint8Array,
  pool: EncodePool,
  outputs: readonly ShardedOutput[],
): Promise<void> {
  const wanted = [...new Set(types.map(({ type }) => type))];
  const { dtype } = weight;
  const results = await pool.encode({ name: weight.name, bytes, dtype, width, headRows, types: wanted, importance });
  await Promise.all(
    outputs.map((output, i) => {
      const { type } = types[i];
      return output.write(name, first * ggmlBytes(type, width), results[wanted.indexOf(type)]);
    }),
  );
}

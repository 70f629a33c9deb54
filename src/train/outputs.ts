import { rmSync } from 'node:fs';
import path from 'node:path';
import { type ChatTemplate, ownTemplateName } from '../data/chat-template.ts';
import { checkReplaceable, fillDirectory, makeDirectory, writeFileAtomic } from '../files/write-file.ts';
import type { ImportanceMatrix } from '../formats/gguf/imatrix.ts';
import type { Mix } from '../formats/gguf/mixes.ts';
import { removeStaleParts } from '../formats/gguf/stale-parts.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { isOrphan, modelfile } from '../formats/ollama.ts';
import { writeAdapter } from '../formats/peft.ts';
import { copyTokenizer, mergedWeights, readTensors, saveWeights, TOKENIZER_FILES } from '../models/save.ts';
import { writeLlamaGguf } from '../models/save-gguf.ts';
import type { WeightRows } from '../models/weight-rows.ts';
import type { Session } from './finetune.ts';
import { endOfTurn } from './templates.ts';

/** Kinds of file that a model can be written as. */
export interface ModelOutputs {
  /** Merged Hugging Face directory in this dtype. */
  merged: 'float32' | 'float16' | 'bfloat16' | null;
  /** GGUF files of the merged model. */
  gguf: readonly Mix[];
}

/** Kinds of file that a run can leave behind. */
export interface Outputs extends ModelOutputs {
  /** PEFT adapter directory. */
  adapter: boolean;
}

/** How GGUF files are written; see {@link writeLlamaGguf}. */
export interface GgufOptions {
  importance?: ImportanceMatrix;
  splitMaxBytes?: number;
  threads?: number;
  warn?: (line: string) => void;
  report?: (done: number, total: number) => void;
}

/** A model to write: weights with adapters merged in, and what its base has besides. */
export interface FinishedModel {
  config: LlamaConfig;
  weights: readonly WeightRows[];
  /** Directory or GGUF file of the base model, which has the tokenizer. */
  base: string;
  /** Null for the tokenizer's own, if it has one. */
  template: ChatTemplate | null;
  /** Token that ends a turn in that template. */
  endOfTurn?: number | null;
}

/**
 * Writes what was asked for of a trained model below `dir`; returns the paths. The adapter directory, the merged
 * directory and each GGUF file are replaced as a whole or not at all.
 */
export async function writeOutputs(
  session: Session,
  modelDir: string,
  dir: string,
  outputs: Outputs,
  { warn }: Pick<GgufOptions, 'warn'>,
): Promise<string[]> {
  const { model, adapter, trainables, template, tokenizer } = session;
  const written: string[] = [];
  if (outputs.adapter && adapter) {
    const to = path.join(dir, 'adapter');
    const tensors = await readTensors(trainables);
    await fillDirectory(
      to,
      async (staging) => {
        await writeAdapter(staging, adapter, tensors);
        copyTokenizer(modelDir, staging, template.source);
      },
      TOKENIZER_FILES,
    );
    written.push(to);
  }
  const finished = {
    config: model.config,
    weights: mergedWeights(model),
    base: modelDir,
    template,
    endOfTurn: endOfTurn(template, tokenizer),
  };
  return [...written, ...(await writeModel(finished, dir, outputs, { warn }))];
}

/** Writes a model below `dir`, in the place of an earlier one of the same kinds; returns the paths. */
export async function writeModel(
  { config, weights, base, template, endOfTurn = null }: FinishedModel,
  dir: string,
  { merged, gguf }: ModelOutputs,
  options: GgufOptions = {},
): Promise<string[]> {
  const written: string[] = [];
  const chatTemplate = template?.source ?? null;
  if (merged) {
    const to = path.join(dir, 'merged');
    const save = (staging: string) =>
      saveWeights(config, weights, staging, { dtype: merged, tokenizerDir: base, chatTemplate, endOfTurn });
    // Shards of an earlier model would be taken for parts of this one.
    await fillDirectory(to, save, [...TOKENIZER_FILES, 'model.safetensors.index.json']);
    written.push(to);
  }
  if (gguf.length === 0) return written;
  makeDirectory(dir);
  const to = path.join(dir, 'Modelfile');
  checkReplaceable(to);
  const files = gguf.map((mix) => ({ file: path.join(dir, `model-${mix}.gguf`), mix }));
  const ggufFiles = await writeLlamaGguf({
    ...options,
    files,
    config,
    tokenizerDir: base,
    chatTemplate,
    weights,
    name: path.basename(path.resolve(base), '.gguf'),
  });
  for (const { file } of files) removeStaleParts(file, ggufFiles, base);
  // Ollama does not take models in several files (ollama/ollama#5245).
  const whole = files.map(({ file }) => file).filter((file) => ggufFiles.includes(file));
  if (whole.length < files.length)
    options.warn?.(
      'no Modelfile for models in several files, which Ollama does not take: join them with `llama-gguf-split --merge`, or leave out --split-max-size',
    );
  // One of an earlier export, whose model these have replaced.
  if (whole.length === 0 && isOrphan(to)) rmSync(to);
  if (whole.length > 0) {
    const names = whole.map((file) => path.basename(file));
    writeFileAtomic(to, modelfile(names, ownTemplateName(template)));
    ggufFiles.push(to);
  }
  return [...written, ...ggufFiles];
}

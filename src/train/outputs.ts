import path from 'node:path';
import { writeAdapter } from '../formats/peft.ts';
import { fillDirectory } from '../formats/write-file.ts';
import { copyTokenizer, mergedWeights, readTensors, saveMerged, TOKENIZER_FILES } from '../models/save.ts';
import { writeLlamaGguf } from '../models/save-gguf.ts';
import type { Session } from './finetune.ts';

/** Kinds of file that a run can leave behind. */
export interface Outputs {
  /** PEFT adapter directory. */
  adapter: boolean;
  /** Merged Hugging Face directory in this dtype. */
  merged: 'float32' | 'float16' | 'bfloat16' | null;
  /** GGUF files of the merged model. */
  gguf: readonly ('f16' | 'q8_0')[];
}

/**
 * Writes what was asked for below `dir`; returns the paths. The adapter, the merged directory and the GGUF files are each
 * replaced as a whole or not at all.
 */
export async function writeOutputs(
  session: Session,
  modelDir: string,
  dir: string,
  outputs: Outputs,
): Promise<string[]> {
  const { model, adapter, trainables, template } = session;
  const written: string[] = [];
  if (outputs.adapter && adapter) {
    const to = path.join(dir, 'adapter');
    const tensors = await readTensors(trainables);
    await fillDirectory(
      to,
      async (staging) => {
        await writeAdapter(staging, adapter, tensors);
        copyTokenizer(modelDir, staging);
      },
      TOKENIZER_FILES,
    );
    written.push(to);
  }
  if (outputs.merged) {
    const to = path.join(dir, 'merged');
    const { merged: dtype } = outputs;
    const save = (staging: string) => saveMerged(model, staging, { dtype, tokenizerDir: modelDir });
    // Shards of an earlier model would be taken for parts of this one.
    await fillDirectory(to, save, [...TOKENIZER_FILES, 'model.safetensors.index.json']);
    written.push(to);
  }
  if (outputs.gguf.length > 0)
    await fillDirectory(dir, async (staging) => {
      for (const type of outputs.gguf) {
        const name = `model-${type}.gguf`;
        await writeLlamaGguf({
          file: path.join(staging, name),
          type,
          config: model.config,
          tokenizerDir: modelDir,
          chatTemplate: template.source,
          weights: mergedWeights(model),
        });
        written.push(path.join(dir, name));
      }
    });
  return written;
}

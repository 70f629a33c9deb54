import path from 'node:path';
import type { Mix } from '../formats/gguf/mixes.ts';
import { writeAdapter } from '../formats/peft.ts';
import { copyTokenizer, mergedWeights, readTensors, saveMerged } from '../models/save.ts';
import { writeLlamaGguf } from '../models/save-gguf.ts';
import { computedRows } from '../models/weight-rows.ts';
import type { Session } from './finetune.ts';

/** Kinds of file that a run can leave behind. */
export interface Outputs {
  /** PEFT adapter directory. */
  adapter: boolean;
  /** Merged Hugging Face directory in this dtype. */
  merged: 'float32' | 'float16' | 'bfloat16' | null;
  /** GGUF files of the merged model. */
  gguf: readonly Mix[];
}

/** Writes what was asked for below `dir`; returns the paths. */
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
    await writeAdapter(to, adapter, await readTensors(trainables));
    copyTokenizer(modelDir, to);
    written.push(to);
  }
  if (outputs.merged) {
    const to = path.join(dir, 'merged');
    await saveMerged(model, to, { dtype: outputs.merged, tokenizerDir: modelDir });
    written.push(to);
  }
  if (outputs.gguf.length > 0)
    written.push(
      ...(await writeLlamaGguf({
        files: outputs.gguf.map((mix) => ({ file: path.join(dir, `model-${mix}.gguf`), mix })),
        config: model.config,
        tokenizerDir: modelDir,
        chatTemplate: template.source,
        weights: mergedWeights(model).map(computedRows),
        name: path.basename(path.resolve(modelDir)),
      })),
    );
  return written;
}

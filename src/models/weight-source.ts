import { UserError } from '../errors.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { sameShape } from '../tensor/shape.ts';
import type { WeightRows } from './weight-rows.ts';

/** Where a model's weights are read from, by their Hugging Face names. */
export interface WeightSource {
  readonly config: LlamaConfig;
  /**
   * A weight in f32.
   *
   * @throws UserError when it is missing or has another shape
   */
  floats(name: string, shape: readonly number[]): Promise<Float32Array>;
  /**
   * A weight to be read some rows at a time; null for one that bitsandbytes has quantised.
   *
   * @throws UserError when it is missing or has another shape
   */
  rows(name: string, shape: readonly number[]): WeightRows | null;
  /** The parts of a weight that bitsandbytes has quantised to NF4, by what follows its name; null for others. */
  nf4Parts(name: string): Promise<Map<string, Uint8Array>> | null;
  close(): Promise<void>;
}

/** @param where directory or file, for the message */
export function checkShape(where: string, name: string, found: readonly number[], expected: readonly number[]): void {
  if (!sameShape(found, expected))
    throw new UserError(
      `${where}: tensor ${name} has shape [${found}], expected [${expected}] by the model's configuration; use the weights that belong to it`,
    );
}

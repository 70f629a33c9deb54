import { existsSync } from 'node:fs';
import { complain } from '../errors.ts';
import { readAdapterConfig } from '../formats/peft.ts';

/** What the help says of {@link baseModel}. */
export const BASE_MODEL_HELP =
  'Hugging Face directory or GGUF file of the base model (default: the one that the adapter names, else models/tiny)';

/**
 * The base model that flags mean: the one given, else the one that the adapter was trained on, else the embedded one.
 *
 * @throws UserError for an adapter whose base model is not here, or that names none
 */
export function baseModel({ model, adapter }: { model?: string; adapter?: string }): string {
  if (model !== undefined) return model;
  if (!adapter) return 'models/tiny';
  const { base_model_name_or_path: base } = readAdapterConfig(adapter);
  if (base && existsSync(base)) return base;
  throw complain({
    where: adapter,
    got: base
      ? `an adapter of the base model ${base}, which does not exist here`
      : 'an adapter that names no base model',
    expected: 'the path of a base model, absolute or from the current directory',
    remedy: 'give the base model with --model',
  });
}

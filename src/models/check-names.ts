import { clipped, complain } from '../errors.ts';

/** Tensors that checkpoints carry although the model computes them itself, and those of a quantised weight. */
const HARMLESS =
  /\.rotary_emb\.inv_freq$|\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+)$/;

/**
 * Compares the names of a checkpoint's tensors with those of the model before any is loaded. What the model has no place
 * for, such as biases or more layers than config.json says, is refused: without it another function would be computed.
 *
 * @param where the checkpoint, for errors
 * @throws UserError naming the first tensor that is missing or superfluous
 */
export function checkNames(where: string, names: readonly string[], expected: ReadonlySet<string>): void {
  const present = new Set(names);
  const missing = [...expected].filter((name) => !present.has(name));
  if (missing.length > 0)
    throw complain({
      where,
      got: `no tensor ${missing[0]}${missing.length > 1 ? ` (and ${missing.length - 1} others are missing)` : ''}`,
      expected: 'all weights that config.json describes',
      remedy: 'check that the weights belong to config.json and are complete',
    });
  // A tied head may be stored a second time.
  const surplus = names.filter((name) => !expected.has(name) && name !== 'lm_head.weight' && !HARMLESS.test(name));
  if (surplus.length > 0)
    throw complain({
      where,
      got: `tensor ${clipped(surplus[0], 100)}${surplus.length > 1 ? ` and ${surplus.length - 1} others` : ''}, for which config.json has no place`,
      expected: 'the weights of a plain Llama, without biases',
      remedy: 'use the config.json that belongs to the weights, or another model',
    });
}

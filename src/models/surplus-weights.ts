import { clipped, complain } from '../errors.ts';

/** Tensors that checkpoints carry although the model computes them itself, and those of a quantised weight. */
const HARMLESS =
  /\.rotary_emb\.inv_freq$|\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+)$/;

/**
 * Refuses a checkpoint with weights that the model has no place for, such as biases or more layers than config.json
 * says: without them it would compute something else.
 *
 * @param where the checkpoint, for the error
 * @param names of its tensors
 * @param expected names of the model's own
 * @throws UserError naming the first of them
 */
export function checkNoSurplus(where: string, names: readonly string[], expected: ReadonlySet<string>): void {
  // A tied head may be stored a second time.
  const surplus = names.filter((name) => !expected.has(name) && name !== 'lm_head.weight' && !HARMLESS.test(name));
  if (surplus.length === 0) return;
  throw complain({
    where,
    got: `${surplus.length} tensors that config.json has no place for, the first ${clipped(surplus[0], 100)}`,
    expected: 'the weights of a plain Llama, without biases',
    remedy: 'use the config.json that belongs to the weights, or another model',
  });
}

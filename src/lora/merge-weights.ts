import { complain } from '../errors.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import type { SavedAdapter } from '../formats/peft.ts';
import type { Target } from '../formats/peft-config.ts';
import { isLayerMatrix, linearNames, weightShapes } from '../models/init.ts';
import { loadWeight } from '../models/load.ts';
import { computedRows, type WeightRows } from '../models/weight-rows.ts';
import type { WeightSource } from '../models/weight-source.ts';
import { floatsFromBnb } from '../quant/bnb-checkpoint.ts';
import { castTo } from '../tensor/copy.ts';
import type { Device } from '../tensor/device.ts';
import {
  adapterTargets,
  checkAllUsed,
  loraFor,
  loraPlaces,
  PREFIX,
  savedMatrices,
  savedModules,
  savedTensor,
} from './attach.ts';

/** What becomes of a base model's weights on their way into a file. */
export interface MergeOptions {
  /** Opens the device; called only when a weight has to be computed on it. */
  device: () => Promise<Device>;
  adapter: SavedAdapter | null;
  /** Rounds the layers' matrices to NF4 first, as they were when an adapter was trained on top of them. */
  load_in_4bit: boolean;
}

/**
 * A base model's weights with an adapter merged in: those that nothing changes as they are in the source, the others
 * computed in f32, one at a time; with an adapter on the device.
 *
 * @throws UserError for an adapter of another model, and for weights that are missing or have another shape
 */
export function mergeWeights(source: WeightSource, options: MergeOptions): WeightRows[] {
  const shapes = weightShapes(source.config);
  const { targets, head } = readAdapter(options.adapter, source.config);
  if (head) shapes.set('lm_head.weight', [source.config.vocab_size, source.config.hidden_size]);
  return [...shapes].map(([name, shape]) => {
    if (head && name === 'lm_head.weight') return computedRows({ name, shape, values: async () => head });
    const target = targets.get(name.replace(/\.weight$/, ''));
    const quantised = options.load_in_4bit && isLayerMatrix(name, shape);
    if (target || quantised)
      return computedRows({ name, shape, values: () => merged(source, name, shape, target, options) });
    return source.rows(name, shape) ?? computedRows({ name, shape, values: () => dequantised(source, name, shape) });
  });
}

/** A weight that bitsandbytes has quantised. */
async function dequantised(source: WeightSource, name: string, shape: readonly number[]): Promise<Float32Array> {
  const parts = await source.nf4Parts(name);
  if (!parts) throw new Error(`${name}: neither rows nor the parts of an nf4 weight`);
  return floatsFromBnb(name, shape, parts);
}

/** Which layers an adapter changes, and the head where it was trained as a whole. */
function readAdapter(adapter: SavedAdapter | null, model: LlamaConfig) {
  const targets = new Map<string, Target>();
  if (!adapter) return { targets, head: null };
  const { config, tensors } = adapter;
  for (const target of adapterTargets(config, linearNames(model))) targets.set(target.module, target);
  const heads = savedModules(config).map((module) => `${PREFIX}${module}.weight`);
  const used = [...targets.keys()].flatMap((module) => {
    savedMatrices(tensors, module);
    return ['A', 'B'].map((matrix) => `${PREFIX}${module}.lora_${matrix}.weight`);
  });
  checkAllUsed(tensors, [...used, ...heads]);
  if (heads.length === 0) return { targets, head: null };
  const head = savedTensor(tensors, heads[0]);
  const expected = model.vocab_size * model.hidden_size;
  if (head.length !== expected)
    throw complain({
      where: heads[0],
      got: `${head.length} elements`,
      expected: `${expected}, vocabulary times width of the base model`,
      remedy: 'use the base model that the adapter was trained on',
    });
  return { targets, head };
}

async function merged(
  source: WeightSource,
  name: string,
  shape: readonly number[],
  target: Target | undefined,
  { device: open, adapter, load_in_4bit }: MergeOptions,
): Promise<Float32Array> {
  const device = await open();
  const weight = await loadWeight(device, source, name, shape, { precision: 'f32', load_in_4bit });
  const lora =
    adapter && target
      ? loraFor(
          loraPlaces(device, [target], [shape])[0],
          target,
          adapter.config,
          savedMatrices(adapter.tensors, target.module),
        )
      : null;
  try {
    return await device.scopeAsync(async () => {
      const dense = castTo(weight.dense('f32'), 'f32');
      return (lora ? lora.merge(dense) : dense).data();
    });
  } finally {
    weight.dispose();
    for (const { tensor } of lora?.parameters() ?? []) tensor.dispose();
  }
}

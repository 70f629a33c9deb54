import { complain } from '../errors.ts';
import { type PeftConfig, resolveTargets, type Target } from '../formats/peft-config.ts';
import type { Linear } from '../models/linear.ts';
import type { Llama } from '../models/llama.ts';
import { masterTensors } from '../optim/parameter-arena.ts';
import { castTo } from '../tensor/copy.ts';
import type { Device } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';
import { initialMatrices, Lora, type LoraMatrices } from './lora.ts';

/** A trained tensor with the name that PEFT saves it under. */
export interface Trainable {
  name: string;
  tensor: Tensor;
}

/** Where the start values come from: a saved adapter's tensors by PEFT key, or random numbers in [0, 1). */
export type AdapterStart = { saved: ReadonlyMap<string, Float32Array> } | { uniform: () => number };

/** What PEFT puts before a module's name. */
export const PREFIX = 'base_model.model.';

/**
 * Puts the adapters that a PEFT configuration describes onto a model whose weights are frozen.
 *
 * @returns everything that training changes
 * @throws UserError for targets that match nothing, and for saved tensors that are missing or too many
 */
export function attachAdapters(model: Llama, config: PeftConfig, start: AdapterStart): Trainable[] {
  const linears = model.linears();
  const trainables: Trainable[] = [];
  const targets = adapterTargets(config, [...linears.keys()]);
  const shapes = targets.map(({ module }) => (linears.get(module) as Linear).weight.shape);
  const places = loraPlaces(model.device, targets, shapes);
  for (const [i, target] of targets.entries()) {
    const { module, r } = target;
    const linear = linears.get(module) as Linear;
    const matrices =
      'saved' in start ? savedMatrices(start.saved, module) : initialMatrices(shapes[i], r, start.uniform);
    linear.adapter = loraFor(places[i], target, config, matrices);
    for (const { name, tensor } of linear.adapter.parameters())
      trainables.push({ name: `${PREFIX}${module}.${name}`, tensor });
  }
  for (const module of savedModules(config)) trainables.push(saveModule(model, module, start));
  if ('saved' in start)
    checkAllUsed(
      start.saved,
      trainables.map(({ name }) => name),
    );
  return trainables;
}

/** Memory for the matrices A and B of linear layers with these weights: all A first, so that layers' neighbours touch. */
export function loraPlaces(device: Device, targets: readonly Target[], shapes: readonly (readonly number[])[]) {
  const A = targets.map(({ r }, i) => [r, shapes[i][1]]);
  const B = targets.map(({ r }, i) => [shapes[i][0], r]);
  const tensors = masterTensors(device, [...A, ...B]);
  return targets.map((_, i) => ({ A: tensors[i], B: tensors[targets.length + i] }));
}

/** The adapter of one linear layer. */
export function loraFor(
  places: { A: Tensor; B: Tensor },
  { module, scaling }: Target,
  { lora_dropout: dropout }: PeftConfig,
  matrices: LoraMatrices,
): Lora {
  return new Lora(places, { scaling, dropout, name: module }, matrices);
}

/**
 * The linear layers that a configuration adapts, of those that there are.
 *
 * @throws UserError for targets that match nothing, and for the head
 */
export function adapterTargets(config: PeftConfig, modules: readonly string[]): Target[] {
  const targets = resolveTargets(config, modules);
  if (targets.some(({ module }) => module === 'lm_head'))
    throw complain({
      where: 'adapter: target_modules',
      got: 'lm_head',
      expected: 'linear layers of the blocks',
      remedy: 'train the head as a whole with modules_to_save: ["lm_head"]',
    });
  return targets;
}

/**
 * The modules that are trained as a whole.
 *
 * @throws UserError for another than the head
 */
export function savedModules(config: PeftConfig): 'lm_head'[] {
  return (config.modules_to_save ?? []).map((module) => {
    if (module === 'lm_head') return module;
    throw complain({
      where: 'adapter: modules_to_save',
      got: module,
      expected: 'lm_head',
      remedy: 'leave other modules out, or adapt them with LoRA',
    });
  });
}

/** Replaces the head by an f32 copy that is trained as a whole. */
function saveModule(model: Llama, module: string, start: AdapterStart): Trainable {
  const { device, head } = model;
  const name = `${PREFIX}${module}.weight`;
  const { shape } = head.weight;
  const own =
    'saved' in start
      ? Tensor.from(device, savedTensor(start.saved, name), shape)
      : device.scope(() => {
          const copy = Tensor.empty(device, shape);
          device.copy(castTo(head.weight, 'f32'), copy);
          return copy;
        });
  // The frozen head goes, unless it is the embedding too.
  if (head.weight !== model.embed) head.weight.dispose();
  head.weight = device.persist(own);
  head.weight.requires_grad = true;
  return { name, tensor: head.weight };
}

/** A tensor of an adapter file by PEFT's key. @throws UserError when it is missing */
export function savedTensor(saved: ReadonlyMap<string, Float32Array>, name: string): Float32Array {
  const values = saved.get(name);
  if (!values)
    throw complain({
      where: 'adapter',
      got: `no tensor ${name}`,
      expected: 'one for every target that adapter_config.json names',
      remedy: 'check that the adapter file belongs to its configuration and base model',
    });
  return values;
}

/** @throws UserError when one is missing */
export function savedMatrices(saved: ReadonlyMap<string, Float32Array>, module: string): LoraMatrices {
  return {
    A: savedTensor(saved, `${PREFIX}${module}.lora_A.weight`),
    B: savedTensor(saved, `${PREFIX}${module}.lora_B.weight`),
  };
}

/** @throws UserError for an adapter file with tensors besides the used ones */
export function checkAllUsed(saved: ReadonlyMap<string, Float32Array>, names: readonly string[]): void {
  const used = new Set(names);
  const extra = [...saved.keys()].filter((name) => !used.has(name));
  if (extra.length > 0)
    throw complain({
      where: 'adapter',
      got: `${extra.length} tensors without a place, the first ${extra[0]}`,
      expected: 'tensors of the targets that adapter_config.json names',
      remedy: 'check that the adapter file belongs to its configuration and base model',
    });
}

import { UserError } from '../errors.ts';
import { Checkpoint } from '../formats/checkpoint.ts';
import { type LlamaConfig, readLlamaConfig } from '../formats/hf-config.ts';
import { nf4FromBnb } from '../quant/bnb-checkpoint.ts';
import { quantizeNf4 } from '../quant/nf4.ts';
import type { Device } from '../tensor/device.ts';
import { sameShape } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { checkNames } from './check-names.ts';
import { weightShapes } from './init.ts';
import { Llama, type Precision } from './llama.ts';

export interface LoadOptions {
  precision: Precision;
  /** Quantises the linear layers of the blocks to NF4 with double quantisation, as bitsandbytes does. */
  load_in_4bit?: boolean;
  /** f32 weights that collect gradients: for training without adapters. */
  trainable?: boolean;
}

/**
 * Loads a Llama from a Hugging Face directory, one tensor in host memory at a time.
 *
 * @throws UserError for missing, superfluous, damaged or wrongly shaped weights, naming directory and tensor
 */
export async function loadLlama(device: Device, dir: string, options: LoadOptions): Promise<Llama> {
  const config = readLlamaConfig(dir);
  const checkpoint = await Checkpoint.open(dir);
  const weights = new Map<string, Tensor>();
  try {
    const shapes = weightShapes(config);
    checkNames(dir, checkpoint.names, new Set(shapes.keys()));
    for (const [name, shape] of shapes)
      weights.set(name, await loadWeight(device, checkpoint, name, shape, config, options));
  } catch (error) {
    for (const weight of weights.values()) weight.dispose();
    throw error;
  } finally {
    await checkpoint.close();
  }
  return new Llama(device, config, options.precision, (name) => weights.get(name) as Tensor);
}

async function loadWeight(
  device: Device,
  checkpoint: Checkpoint,
  name: string,
  shape: readonly number[],
  config: LlamaConfig,
  { precision, load_in_4bit = false, trainable = false }: LoadOptions,
): Promise<Tensor> {
  const layerMatrix = shape.length === 2 && name.startsWith('model.layers.');
  if (layerMatrix && config.quantized && checkpoint.has(`${name}.absmax`)) {
    const parts = checkpoint.names.filter((part) => part.startsWith(`${name}.`));
    const bytes = new Map<string, Uint8Array>();
    for (const part of [name, ...parts]) bytes.set(part.slice(name.length), await checkpoint.bytes(part));
    return nf4FromBnb(device, name, shape, bytes);
  }
  const entry = checkpoint.entry(name);
  if (!sameShape(entry.shape, shape))
    throw new UserError(
      `${checkpoint.dir}: tensor ${name} has shape [${entry.shape}], expected [${shape}] by config.json; use the weights that belong to it`,
    );
  const values = await checkpoint.floats(name);
  return device.scopeAsync(async () => {
    if (layerMatrix && load_in_4bit) return quantizeNf4(Tensor.from(device, values, shape), { doubleQuant: true });
    const master = trainable || shape.length === 1 || precision === 'f32';
    const tensor = Tensor.from(device, values, shape, master ? 'f32' : 'f16');
    tensor.requires_grad = trainable;
    return tensor;
  });
}

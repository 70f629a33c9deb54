import { UserError } from '../errors.ts';
import { nf4FromBnb } from '../quant/bnb-checkpoint.ts';
import { quantizeNf4 } from '../quant/nf4.ts';
import type { Device } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';
import { isLayerMatrix, weightShapes } from './init.ts';
import { Llama, type Precision } from './llama.ts';
import { openWeights } from './open-weights.ts';
import type { WeightSource } from './weight-source.ts';

export interface LoadOptions {
  precision: Precision;
  /** Quantises the linear layers of the blocks to NF4 with double quantisation, as bitsandbytes does. */
  load_in_4bit?: boolean;
  /** f32 weights that collect gradients: for training without adapters. */
  trainable?: boolean;
}

/**
 * Loads a Llama from a Hugging Face directory or a GGUF file, one tensor in host memory at a time.
 *
 * @throws UserError for missing, damaged or wrongly shaped weights, naming directory or file, and tensor
 */
export async function loadLlama(device: Device, from: string, options: LoadOptions): Promise<Llama> {
  const source = await openWeights(from);
  const weights = new Map<string, Tensor>();
  try {
    for (const [name, shape] of weightShapes(source.config))
      weights.set(name, await loadWeight(device, source, name, shape, options));
  } catch (error) {
    for (const weight of weights.values()) weight.dispose();
    // Parts of quantised weights know only their own names.
    throw error instanceof UserError && !error.message.startsWith(from)
      ? new UserError(`${from}: ${error.message}`)
      : error;
  } finally {
    await source.close();
  }
  return new Llama(device, source.config, options.precision, (name) => weights.get(name) as Tensor);
}

/**
 * Loads one weight, quantised where the checkpoint or the options say so; it lives until `dispose()`.
 *
 * @throws UserError when it is missing, damaged or of another shape
 */
export async function loadWeight(
  device: Device,
  source: WeightSource,
  name: string,
  shape: readonly number[],
  { precision, load_in_4bit = false, trainable = false }: LoadOptions,
): Promise<Tensor> {
  const layerMatrix = isLayerMatrix(name, shape);
  const parts = layerMatrix ? await source.nf4Parts(name) : null;
  if (parts) return nf4FromBnb(device, name, shape, parts);
  const values = await source.floats(name, shape);
  return device.scopeAsync(async () => {
    if (layerMatrix && load_in_4bit) return quantizeNf4(Tensor.from(device, values, shape), { doubleQuant: true });
    const master = trainable || shape.length === 1 || precision === 'f32';
    const tensor = Tensor.from(device, values, shape, master ? 'f32' : 'f16');
    tensor.requires_grad = trainable;
    return tensor;
  });
}

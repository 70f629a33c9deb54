import { UserError } from '../errors.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import { nf4FromBnb } from '../quant/bnb-checkpoint.ts';
import { quantizeNf4 } from '../quant/nf4.ts';
import type { Device } from '../tensor/device.ts';
import { toHalf } from '../tensor/half.ts';
import { HostMatrix } from '../tensor/host-matrix.ts';
import { Tensor } from '../tensor/tensor.ts';
import { EMBEDDING, isLayerMatrix, weightShapes } from './init.ts';
import { Llama, type Precision } from './llama.ts';
import { openWeights } from './open-weights.ts';
import type { WeightSource } from './weight-source.ts';

export interface LoadOptions {
  precision: Precision;
  /** Quantises the linear layers of the blocks to NF4 with double quantisation, as bitsandbytes does. */
  load_in_4bit?: boolean;
  /** f32 weights that collect gradients: for training without adapters. */
  trainable?: boolean;
  /** Leaves the embedding in host memory, from where its rows are fetched; not one that is the head too, or trained. */
  embedding_on_host?: boolean;
}

/** How a weight is kept. */
type Form = 'nf4' | 'f32' | 'f16' | 'host f32' | 'host f16';

function formOf(name: string, shape: readonly number[], config: LlamaConfig, options: LoadOptions): Form {
  const { precision, load_in_4bit = false, trainable = false, embedding_on_host = false } = options;
  if (isLayerMatrix(name, shape) && (load_in_4bit || config.quantized)) return 'nf4';
  const dtype = trainable || shape.length === 1 || precision === 'f32' ? 'f32' : 'f16';
  const onHost = embedding_on_host && name === EMBEDDING && !trainable && !config.tie_word_embeddings;
  return onHost ? `host ${dtype}` : dtype;
}

/**
 * A Llama whose weights are unset and take the memory of loaded ones: to rehearse on, see {@link Device.rehearsal}.
 */
export function unsetLlama(device: Device, config: LlamaConfig, options: LoadOptions): Llama {
  const unset = (name: string, shape: readonly number[]): Tensor => {
    const form = formOf(name, shape, config, options);
    if (form === 'nf4') return quantizeNf4(Tensor.empty(device, shape), { doubleQuant: true });
    // Rows beyond its end are left out, here all.
    if (form === 'host f32') return new HostMatrix(device, new Float32Array(0), shape);
    if (form === 'host f16') return new HostMatrix(device, new Uint16Array(0), shape);
    return Tensor.empty(device, shape, form);
  };
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of weightShapes(config))
    weights.set(
      name,
      device.scope(() => unset(name, shape)),
    );
  return new Llama(device, config, options.precision, (name) => weights.get(name) as Tensor);
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
  options: LoadOptions,
): Promise<Tensor> {
  const parts = isLayerMatrix(name, shape) ? await source.nf4Parts(name) : null;
  if (parts) return nf4FromBnb(device, name, shape, parts);
  const values = await source.floats(name, shape);
  // A checkpoint that is quantised may hold some matrices as they were.
  const form = formOf(name, shape, { ...source.config, quantized: false }, options);
  return device.scopeAsync(async () => {
    if (form === 'nf4') return quantizeNf4(Tensor.from(device, values, shape), { doubleQuant: true });
    if (form === 'host f32') return new HostMatrix(device, values, shape);
    if (form === 'host f16') return new HostMatrix(device, toHalf(values), shape);
    const tensor = Tensor.from(device, values, shape, form);
    tensor.requires_grad = options.trainable ?? false;
    return tensor;
  });
}

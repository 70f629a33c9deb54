import { Random } from '../../src/data/random.ts';
import type { LlamaConfig } from '../../src/formats/hf-config.ts';
import { EMBEDDING, isLayerMatrix, weightShapes } from '../../src/models/init.ts';
import { Llama } from '../../src/models/llama.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import type { Device } from '../../src/tensor/device.ts';
import { HostMatrix } from '../../src/tensor/host-matrix.ts';
import { sizeOf } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

/**
 * Normal numbers that are made on the host; tensors repeat them. No power of two, so that the rows of a matrix differ,
 * and a multiple of 8, so that f16 copies stay aligned.
 */
const BLOCK = 3_000_008;

/** Fills tensors with normal numbers from one block in device memory: seconds for an 8B model, no large host array. */
export class NormalSource {
  readonly #block: Tensor;

  constructor(device: Device, deviation: number, size = BLOCK) {
    const random = new Random(20);
    const values = Float32Array.from({ length: size }, () => random.normal() * deviation);
    this.#block = Tensor.from(device, values, [size], 'f16');
  }

  /** f16 of any shape, in the current scope. */
  tensor(shape: readonly number[]): Tensor {
    const block = this.#block;
    const { device } = block;
    const flat = Tensor.empty(device, [sizeOf(shape)], 'f16');
    for (let at = 0; at < flat.size; at += block.size) {
      const end = Math.min(at + block.size, flat.size);
      device.copy(block.slice(0, 0, end - at), flat.slice(0, at, end));
    }
    return flat.view(shape);
  }

  dispose(): void {
    this.#block.dispose();
  }
}

/**
 * A Llama of random weights: NF4 with double quantisation in the blocks, f16 embedding and head, norms of one.
 *
 * @param onHost leaves the embedding in host memory
 */
export async function randomLlama(device: Device, config: LlamaConfig, onHost = false): Promise<Llama> {
  const deviations = { plain: 0.02, residual: 0.02 / Math.sqrt(2 * config.num_hidden_layers) };
  const block = Math.min(BLOCK, config.vocab_size * config.hidden_size);
  const sources = {
    plain: new NormalSource(device, deviations.plain, block),
    residual: new NormalSource(device, deviations.residual, block),
  };
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of weightShapes(config)) {
    const source = /(o|down)_proj/.test(name) ? sources.residual : sources.plain;
    const weight = await device.scopeAsync(async () => {
      if (shape.length === 1) return Tensor.from(device, new Float32Array(shape[0]).fill(1));
      const dense = source.tensor(shape);
      if (onHost && name === EMBEDDING) return new HostMatrix(device, await dense.data<'f16'>(), shape);
      return isLayerMatrix(name, shape) ? quantizeNf4(dense, { doubleQuant: true }) : dense;
    });
    weights.set(name, weight);
    device.trim(); // Packed weights would keep somewhat larger buffers that dense ones have left.
  }
  for (const source of Object.values(sources)) source.dispose();
  await device.finish();
  return new Llama(device, config, 'mixed', (name) => weights.get(name) as Tensor);
}

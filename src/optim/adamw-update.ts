import { flatParts } from '../tensor/parts.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';
import { type Parameter, type SavedState, savedState } from './optimizer.ts';

/** Constants of an update as f32 kernels take them. */
export interface AdamWConstants {
  beta1: number;
  rest1: number;
  beta2: number;
  rest2: number;
  eps: number;
  /** 1 - lr · weight decay */
  decay: number;
}

/** f32 moments of one parameter. */
export class Moments32 {
  readonly #parameter: Parameter;
  readonly #state1: Tensor;
  readonly #state2: Tensor;
  readonly #bitsandbytes: boolean;

  /** @param bitsandbytes whose order of arithmetic to follow: bitsandbytes' or PyTorch's */
  constructor(parameter: Parameter, bitsandbytes: boolean) {
    const { device, shape } = parameter.tensor;
    this.#parameter = parameter;
    this.#state1 = device.persist(Tensor.zeros(device, shape));
    this.#state2 = device.persist(Tensor.zeros(device, shape));
    this.#bitsandbytes = bitsandbytes;
  }

  update(clock: Tensor, grad: Tensor, constants: AdamWConstants): void {
    const { tensor } = this.#parameter;
    for (const [g, param, state1, state2] of flatParts([grad, tensor, this.#state1, this.#state2]))
      tensor.device.run({
        kernel: 'adamw.wgsl',
        constants: { BITSANDBYTES: this.#bitsandbytes ? 1 : 0 },
        bindings: { clock, grad: g, param, state1, state2 },
        params: { count: g.size, ...constants, zero: 0 },
        workgroups: Math.ceil(g.size / 256),
      });
  }

  async save(): Promise<[string, SavedState][]> {
    const { name, tensor } = this.#parameter;
    const { shape } = tensor;
    return [
      [`${name}.state1`, { shape, data: await this.#state1.data() }],
      [`${name}.state2`, { shape, data: await this.#state2.data() }],
    ];
  }

  load(saved: ReadonlyMap<string, SavedState>): () => void {
    const { name, tensor } = this.#parameter;
    const one = savedState(saved, `${name}.state1`, tensor.size, 'f32');
    const two = savedState(saved, `${name}.state2`, tensor.size, 'f32');
    return () => {
      tensor.device.upload(this.#state1, bytesOf(one));
      tensor.device.upload(this.#state2, bytesOf(two));
    };
  }

  dispose(): void {
    this.#state1.dispose();
    this.#state2.dispose();
  }
}

export function bytesOf(array: Float32Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

export const variants: KernelVariant[] = [0, 1].map((BITSANDBYTES) => ({
  kernel: 'adamw.wgsl',
  constants: { BITSANDBYTES },
  bindings: ['clock', 'grad', 'param', 'state1', 'state2'],
}));

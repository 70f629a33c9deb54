import { bytesOf } from '../tensor/dtype.ts';
import { flatParts } from '../tensor/parts.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';
import { type Parameter, type SavedState, savedState } from './optimizer.ts';
import type { Region } from './regions.ts';

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

/** A kind of state of a region's parameters: a number for each element, or for each block of elements. */
interface State {
  key: string;
  dtype: 'f32' | 'u8';
  /** Elements that share a number; a divisor of every parameter's start. */
  block: number;
  tensor: Tensor;
}

/** The moments of a region and how a step changes them. */
export abstract class Moments {
  readonly region: Region;
  readonly #states: readonly State[];

  constructor(region: Region, states: readonly Omit<State, 'tensor'>[]) {
    const { device } = region.parameters[0].tensor;
    this.region = region;
    this.#states = states.map((state) => ({
      ...state,
      tensor: device.persist(Tensor.zeros(device, [Math.ceil(region.size / state.block)], state.dtype)),
    }));
  }

  /** The states' tensors, flat, in the order of the constructor. */
  protected get tensors(): Tensor[] {
    return this.#states.map(({ tensor }) => tensor);
  }

  /** Records the update of every parameter that has a gradient. */
  abstract update(clock: Tensor, constants: AdamWConstants): void;

  async save(): Promise<[string, SavedState][]> {
    const saved: [string, SavedState][] = [];
    for (const parameter of this.region.parameters)
      for (const { key, dtype, block, tensor } of this.#states) {
        const part = this.#part(tensor, block, parameter);
        const shape = block === 1 ? parameter.tensor.shape : part.shape;
        const data = await (dtype === 'u8' ? part.data<'u8'>() : part.data());
        saved.push([`${parameter.name}.${key}`, { shape, data }]);
      }
    return saved;
  }

  /** Checks the states of all parameters and returns what writes them. */
  load(saved: ReadonlyMap<string, SavedState>): () => void {
    const writes = this.region.parameters.flatMap((parameter) =>
      this.#states.map(({ key, dtype, block, tensor }) => {
        const part = this.#part(tensor, block, parameter);
        const data = savedState(saved, `${parameter.name}.${key}`, part.size, dtype);
        return () => tensor.device.upload(part, bytesOf(data));
      }),
    );
    return () => {
      for (const write of writes) write();
    };
  }

  dispose(): void {
    for (const tensor of this.tensors) tensor.dispose();
  }

  #part(tensor: Tensor, block: number, parameter: Parameter): Tensor {
    const start = this.region.start(parameter) / block;
    return tensor.slice(0, start, start + Math.ceil(parameter.tensor.size / block));
  }
}

/** Moments in f32. */
export class Moments32 extends Moments {
  readonly #bitsandbytes: boolean;

  /** @param bitsandbytes whose order of arithmetic to follow: bitsandbytes' or PyTorch's */
  constructor(region: Region, bitsandbytes: boolean) {
    super(region, [
      { key: 'state1', dtype: 'f32', block: 1 },
      { key: 'state2', dtype: 'f32', block: 1 },
    ]);
    this.#bitsandbytes = bitsandbytes;
  }

  update(clock: Tensor, constants: AdamWConstants): void {
    for (const { start, values, gradients } of this.region.spans()) {
      const moments = this.tensors.map((tensor) => tensor.slice(0, start, start + values.size));
      for (const [grad, param, state1, state2] of flatParts([gradients, values, ...moments]))
        values.device.run({
          kernel: 'adamw.wgsl',
          constants: { BITSANDBYTES: this.#bitsandbytes ? 1 : 0 },
          bindings: { clock, grad, param, state1, state2 },
          params: { count: grad.size, ...constants, zero: 0 },
          workgroups: Math.ceil(grad.size / 256),
        });
    }
  }
}

export const variants: KernelVariant[] = [0, 1].map((BITSANDBYTES) => ({
  kernel: 'adamw.wgsl',
  constants: { BITSANDBYTES },
  bindings: ['clock', 'grad', 'param', 'state1', 'state2'],
}));

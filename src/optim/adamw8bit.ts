import { dynamicMap } from '../quant/dynamic-map.ts';
import { codeLimits } from '../quant/nearest-code.ts';
import { flatParts } from '../tensor/parts.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';
import { AdamWClock } from './adamw-clock.ts';
import { type AdamWConstants, bytesOf, Moments32 } from './adamw-update.ts';
import { fastMathPower } from './fast-math-power.ts';
import {
  type AdamWOptions,
  adamWOptions,
  checkParameters,
  type Optimizer,
  type Parameter,
  type SavedState,
  STEP_KEY,
  type StepOptions,
  savedState,
} from './optimizer.ts';

/** Elements that share a scale. */
const BLOCK = 256;
/** Smaller parameters keep f32 moments, as bitsandbytes' `min_8bit_size` has it. */
const LEAST_8BIT = 4096;
/** A workgroup loads 4 KB of tables: it should serve some blocks, but all of the GPU should have work. */
const BLOCKS_PER_GROUP = 8;
const LEAST_GROUPS = 512;

/**
 * AdamW with blockwise 8-bit moments: bitsandbytes' `AdamW8bit` on CUDA step by step, 2.03 bytes of state a weight.
 *
 * The moments' bytes and scales are its own bits; parameters differ in the last place where its compiler divides and takes
 * roots by approximation.
 */
export class AdamW8bit implements Optimizer {
  readonly parameters: readonly Parameter[];
  readonly #options: Required<AdamWOptions>;
  readonly #clock: AdamWClock | null;
  readonly #tables: Tensor | null;
  readonly #moments: (Moments32 | Moments8)[];

  /** @throws UserError for parameters that are not contiguous f32 tensors, or options out of range */
  constructor(parameters: readonly Parameter[], options: AdamWOptions = {}) {
    checkParameters(parameters);
    this.parameters = parameters;
    this.#options = adamWOptions(options);
    const [beta1, beta2] = this.#options.betas;
    const device = parameters[0]?.tensor.device;
    const corrections = (t: number): [number, number] => [
      1 - fastMathPower(beta1, t),
      Math.sqrt(1 - fastMathPower(beta2, t)),
    ];
    this.#clock = device ? new AdamWClock(device, corrections, true) : null;
    const tables = device ? device.persist(Tensor.from(device, stateTables())) : null;
    this.#tables = tables;
    this.#moments = parameters.map((parameter) =>
      parameter.tensor.size < LEAST_8BIT || !tables ? new Moments32(parameter, true) : new Moments8(parameter, tables),
    );
  }

  step({ lr, stats }: StepOptions): void {
    if (!this.#clock) return;
    this.#clock.tick(lr, stats);
    const { betas, eps, weight_decay } = this.#options;
    const [beta1, beta2] = betas.map(Math.fround);
    for (const [i, { tensor, weightDecay = weight_decay }] of this.parameters.entries())
      if (tensor.grad)
        this.#moments[i].update(this.#clock.values, tensor.grad, {
          beta1,
          rest1: 1 - beta1, // Of the rounded beta, as its kernel does it: 1.3e-5 less than 0.001 for 0.999.
          beta2,
          rest2: 1 - beta2,
          eps,
          decay: 1 - Math.fround(lr) * Math.fround(weightDecay),
        });
  }

  async state(): Promise<Map<string, SavedState>> {
    const saved = new Map<string, SavedState>();
    if (!this.#clock) return saved;
    saved.set(STEP_KEY, { shape: [1], data: Float32Array.of(await this.#clock.applied()) });
    for (const moments of this.#moments) for (const [key, state] of await moments.save()) saved.set(key, state);
    return saved;
  }

  loadState(saved: ReadonlyMap<string, SavedState>): void {
    if (!this.#clock) return;
    const [applied] = savedState(saved, STEP_KEY, 1, 'f32');
    for (const write of this.#moments.map((moments) => moments.load(saved))) write();
    this.#clock.restore(applied);
  }

  dispose(): void {
    this.#clock?.dispose();
    this.#tables?.dispose();
    for (const moments of this.#moments) moments.dispose();
  }
}

/** 8-bit moments of one parameter: codes and scales. */
class Moments8 {
  readonly #parameter: Parameter;
  readonly #tables: Tensor;
  readonly #states: { key: string; dtype: 'u8' | 'f32'; tensor: Tensor }[];

  constructor(parameter: Parameter, tables: Tensor) {
    const { device, shape, size } = parameter.tensor;
    const zeros = (key: string, dtype: 'u8' | 'f32', shape: readonly number[]) => ({
      key: `${parameter.name}.${key}`,
      dtype,
      tensor: device.persist(Tensor.zeros(device, shape, dtype)),
    });
    const blocks = Math.ceil(size / BLOCK);
    this.#parameter = parameter;
    this.#tables = tables;
    this.#states = [
      zeros('state1', 'u8', shape),
      zeros('state2', 'u8', shape),
      zeros('absmax1', 'f32', [blocks]),
      zeros('absmax2', 'f32', [blocks]),
    ];
  }

  update(clock: Tensor, grad: Tensor, constants: AdamWConstants): void {
    const { tensor } = this.#parameter;
    const [codes1, codes2, absmax1, absmax2] = this.#states.map((state) => state.tensor);
    let first = 0;
    for (const [g, param, state1, state2] of flatParts([grad, tensor, codes1, codes2], BLOCK)) {
      const blocks = Math.ceil(g.size / BLOCK);
      tensor.device.run({
        kernel: 'adamw8bit.wgsl',
        bindings: { clock, tables: this.#tables, grad: g, param, state1, state2, absmax1, absmax2 },
        params: { count: g.size, first_block: first, ...constants, zero: 0 },
        workgroups: Math.min(blocks, Math.max(LEAST_GROUPS, Math.ceil(blocks / BLOCKS_PER_GROUP))),
      });
      first += blocks;
    }
  }

  async save(): Promise<[string, SavedState][]> {
    const saved: [string, SavedState][] = [];
    for (const { key, dtype, tensor } of this.#states)
      saved.push([key, { shape: tensor.shape, data: await (dtype === 'u8' ? tensor.data<'u8'>() : tensor.data()) }]);
    return saved;
  }

  load(saved: ReadonlyMap<string, SavedState>): () => void {
    const found = this.#states.map(({ key, dtype, tensor }) => savedState(saved, key, tensor.size, dtype));
    return () => {
      for (const [i, { tensor }] of this.#states.entries()) tensor.device.upload(tensor, bytesOf(found[i]));
    };
  }

  dispose(): void {
    for (const { tensor } of this.#states) tensor.dispose();
  }
}

/** What adamw8bit.wgsl looks up: the maps of both moments and the limits between their codes. */
function stateTables(): Float32Array {
  const [signed, unsigned] = [dynamicMap(true), dynamicMap(false)];
  return Float32Array.from([signed, unsigned, codeLimits(signed, -1), codeLimits(unsigned, 0)].flatMap((t) => [...t]));
}

export const variants: KernelVariant[] = [
  {
    kernel: 'adamw8bit.wgsl',
    bindings: ['clock', 'tables', 'grad', 'param', 'state1', 'state2', 'absmax1', 'absmax2'],
  },
];

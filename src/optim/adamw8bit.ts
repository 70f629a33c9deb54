import { dynamicMap } from '../quant/dynamic-map.ts';
import { codeLimits } from '../quant/nearest-code.ts';
import { flatParts } from '../tensor/parts.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { KernelVariant } from '../tensor/variants.ts';
import { AdamWBase } from './adamw-base.ts';
import { type AdamWConstants, Moments, Moments32 } from './adamw-update.ts';
import { fastMathPower } from './fast-math-power.ts';
import { type AdamWOptions, LEAST_8BIT, type Parameter } from './optimizer.ts';
import type { Region } from './regions.ts';

/** Elements that share a scale. */
const BLOCK = 256;
/** A workgroup loads 4 KB of tables: it should serve some blocks, but all of the GPU should have work. */
const BLOCKS_PER_GROUP = 8;
const LEAST_GROUPS = 512;

const small = (tensor: Tensor) => tensor.size < LEAST_8BIT;

/**
 * AdamW with blockwise 8-bit moments: bitsandbytes' `AdamW8bit` on CUDA step by step, 2.03 bytes of state a weight.
 *
 * The moments' bytes and scales are its own bits; parameters differ in the last place where its compiler divides and takes
 * roots by approximation.
 */
export class AdamW8bit extends AdamWBase {
  readonly #tables: Tensor | null;

  /** @throws UserError for parameters that are not contiguous f32 tensors, or options out of range */
  constructor(parameters: readonly Parameter[], options: AdamWOptions = {}) {
    let tables: Tensor | null = null;
    super(parameters, options, {
      corrections:
        ([beta1, beta2]) =>
        (t) => [1 - fastMathPower(beta1, t), Math.sqrt(1 - fastMathPower(beta2, t))],
      scaled: true,
      alike: (a, b) => small(a) === small(b),
      moments: (region) => {
        const [{ tensor }] = region.parameters;
        if (small(tensor)) return new Moments32(region, true);
        tables ??= tensor.device.persist(Tensor.from(tensor.device, stateTables()));
        return new Moments8(region, tables);
      },
      constants: ({ lr, betas, eps, decay }) => {
        const [beta1, beta2] = betas.map(Math.fround);
        return {
          beta1,
          rest1: 1 - beta1, // Of the rounded beta, as its kernel does it: 1.3e-5 less than 0.001 for 0.999.
          beta2,
          rest2: 1 - beta2,
          eps,
          decay: 1 - Math.fround(lr) * Math.fround(decay),
        };
      },
    });
    this.#tables = tables;
  }

  override dispose(): void {
    super.dispose();
    this.#tables?.dispose();
  }
}

/** Moments as 8-bit codes, with scales. Blocks restart at each parameter, since its place is a multiple of theirs. */
class Moments8 extends Moments {
  readonly #tables: Tensor;

  constructor(region: Region, tables: Tensor) {
    super(region, [
      { key: 'state1', dtype: 'u8', block: 1 },
      { key: 'state2', dtype: 'u8', block: 1 },
      { key: 'absmax1', dtype: 'f32', block: BLOCK },
      { key: 'absmax2', dtype: 'f32', block: BLOCK },
    ]);
    this.#tables = tables;
  }

  update(clock: Tensor, constants: AdamWConstants): void {
    const [codes1, codes2, absmax1, absmax2] = this.tensors;
    for (const { start, values, gradients } of this.region.spans()) {
      let first = start / BLOCK;
      const codes = [codes1, codes2].map((tensor) => tensor.slice(0, start, start + values.size));
      for (const [grad, param, state1, state2] of flatParts([gradients, values, ...codes], BLOCK)) {
        const blocks = Math.ceil(grad.size / BLOCK);
        values.device.run({
          kernel: 'adamw8bit.wgsl',
          bindings: { clock, tables: this.#tables, grad, param, state1, state2, absmax1, absmax2 },
          params: { count: grad.size, first_block: first, ...constants, zero: 0 },
          workgroups: Math.min(blocks, Math.max(LEAST_GROUPS, Math.ceil(blocks / BLOCKS_PER_GROUP))),
        });
        first += blocks;
      }
    }
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

import { contiguous } from '../../tensor/copy.ts';
import { packGroups, packQuads } from '../../tensor/packs.ts';
import { flatParts } from '../../tensor/parts.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { KernelVariant } from '../../tensor/variants.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';

const BINDINGS = { forward: ['gate', 'up', 'y'], backward: ['gate', 'up', 'grad', 'd_gate', 'd_up'] };

export const variants: KernelVariant[] = (['forward', 'backward'] as const).flatMap((entry) =>
  (['f32', 'f16'] as const).map((X) => ({
    kernel: 'swiglu.wgsl',
    entry,
    defines: { X, QUADS: packQuads(X) },
    bindings: BINDINGS[entry],
  })),
);

/** Largest magnitude that is stored. */
const LIMIT = { f32: 3.4028234663852886e38, f16: 65504 };

/** Launches a kernel over tensors of gate's shape, in the order of its bindings. */
function launch(entry: keyof typeof BINDINGS, tensors: readonly Tensor[]): void {
  const { device, dtype } = tensors[0];
  const QUADS = packQuads(dtype);
  for (const parts of flatParts(tensors))
    device.run({
      kernel: 'swiglu.wgsl',
      entry,
      defines: { X: dtype, QUADS },
      bindings: Object.fromEntries(BINDINGS[entry].map((name, i) => [name, parts[i]])),
      params: { count: parts[0].size, limit: LIMIT[dtype as 'f32' | 'f16'] },
      workgroups: packGroups(parts[0].size, QUADS),
    });
}

/** silu(gate) · up, the activation inside a Llama's feed-forward layer; inputs gate and up. */
export const swigluOperation = operation({
  name: 'swiglu',
  cheap: true,

  check([gate, up]) {
    checkDtypes('swiglu', [gate], ['f32', 'f16']);
    checkDtypes('swiglu', [up], [gate.dtype]);
    checkShape('swiglu', 'up', up.shape, gate.shape);
  },

  forward([gate, up]) {
    const output = Tensor.empty(gate.device, gate.shape, gate.dtype);
    launch('forward', [contiguous(gate), contiguous(up), output]);
    return { output };
  },

  keeps: () => ({ inputs: [0, 1] }),

  backward({ grad, inputs: [gate, up] }) {
    const dGate = Tensor.empty(gate.device, gate.shape, gate.dtype);
    const dUp = Tensor.empty(gate.device, gate.shape, gate.dtype);
    launch('backward', [contiguous(gate), contiguous(up), grad, dGate, dUp]);
    return [dGate, dUp];
  },

  reference: ([gate, up]) =>
    referenceOf(gate.shape, (i) => (gate.data[i] / (1 + Math.exp(-gate.data[i]))) * up.data[i]),
});

/**
 * SwiGLU (arXiv:2002.05202): silu(gate) · up element by element, clamped to the finite range of the dtype.
 *
 * @param gate and up: equal shapes, both f32 or both f16
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return apply(swigluOperation, [gate, up], undefined);
}

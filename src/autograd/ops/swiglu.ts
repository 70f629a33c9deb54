import { contiguous } from '../../tensor/copy.ts';
import { flatParts } from '../../tensor/parts.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { KernelVariant } from '../../tensor/variants.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';
import { apply } from '../tape.ts';

export const variants: KernelVariant[] = ['f32', 'f16'].flatMap((X) => [
  { kernel: 'swiglu.wgsl', entry: 'forward', defines: { X }, bindings: ['gate', 'up', 'y'] },
  { kernel: 'swiglu.wgsl', entry: 'backward', defines: { X }, bindings: ['gate', 'up', 'grad', 'd_gate', 'd_up'] },
]);

/** Largest magnitude that is stored. */
const LIMIT = { f32: 3.4028234663852886e38, f16: 65504 };

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
    for (const [g, u, y] of flatParts([contiguous(gate), contiguous(up), output]))
      gate.device.run({
        kernel: 'swiglu.wgsl',
        entry: 'forward',
        defines: { X: gate.dtype },
        bindings: { gate: g, up: u, y },
        params: { count: y.size, limit: LIMIT[gate.dtype as 'f32' | 'f16'] },
        workgroups: Math.ceil(y.size / 128),
      });
    return { output };
  },

  keeps: () => ({ inputs: [0, 1] }),

  backward({ grad, inputs: [gate, up] }) {
    const dGate = Tensor.empty(gate.device, gate.shape, gate.dtype);
    const dUp = Tensor.empty(gate.device, gate.shape, gate.dtype);
    for (const [g, u, d, d_gate, d_up] of flatParts([contiguous(gate), contiguous(up), grad, dGate, dUp]))
      gate.device.run({
        kernel: 'swiglu.wgsl',
        entry: 'backward',
        defines: { X: gate.dtype },
        bindings: { gate: g, up: u, grad: d, d_gate, d_up },
        params: { count: g.size, limit: LIMIT[gate.dtype as 'f32' | 'f16'] },
        workgroups: Math.ceil(g.size / 128),
      });
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

import { contiguous } from '../../tensor/copy.ts';
import type { DType } from '../../tensor/dtype.ts';
import { packGroups, packQuads } from '../../tensor/packs.ts';
import { PanelMatrix, panelGroups } from '../../tensor/panel-matrix.ts';
import { flatParts } from '../../tensor/parts.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { KernelVariant } from '../../tensor/variants.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';

const BINDINGS = { forward: ['gate', 'up', 'y'], backward: ['gate', 'up', 'grad', 'd_gate', 'd_up'] };

type Entry = keyof typeof BINDINGS;

const kernelFor = (entry: Entry, X: DType, ORDER: 'rows' | 'panels') => ({
  kernel: 'swiglu.wgsl',
  entry,
  defines: { X, QUADS: packQuads(X), ORDER },
});

export const variants: KernelVariant[] = (['forward', 'backward'] as const).flatMap((entry) =>
  [kernelFor(entry, 'f32', 'rows'), kernelFor(entry, 'f16', 'rows'), kernelFor(entry, 'f16', 'panels')].map(
    (kernel) => ({ ...kernel, bindings: BINDINGS[entry] }),
  ),
);

export interface SwigluOptions {
  /**
   * Makes the result and the gradients in panels, for f16 matrices whose readers are products: see `readPanels` of linear
   * layers.
   */
  panels?: boolean;
}

/** Largest magnitude that is stored. */
const LIMIT = { f32: 3.4028234663852886e38, f16: 65504 };

/** Launches a kernel over tensors of gate's shape, in the order of its bindings: operands, then `count` results. */
function launch(entry: Entry, operands: readonly Tensor[], { panels = false }: SwigluOptions, count: number): Tensor[] {
  const [{ device, dtype, shape }] = operands;
  const bindingsOf = (tensors: readonly Tensor[]) =>
    Object.fromEntries(BINDINGS[entry].map((name, i) => [name, tensors[i]]));
  const limit = LIMIT[dtype as 'f32' | 'f16'];
  if (panels) {
    const outputs = Array.from({ length: count }, () => PanelMatrix.empty(device, shape));
    const stored = outputs.map((output) => output.stored);
    device.run({
      ...kernelFor(entry, dtype, 'panels'),
      bindings: bindingsOf([...operands, ...stored]),
      params: { count: stored[0].size, limit, rows: shape[0], width: shape[1] },
      workgroups: panelGroups(shape),
    });
    return outputs;
  }
  const outputs = Array.from({ length: count }, () => Tensor.empty(device, shape, dtype));
  for (const parts of flatParts([...operands, ...outputs]))
    device.run({
      ...kernelFor(entry, dtype, 'rows'),
      bindings: bindingsOf(parts),
      params: { count: parts[0].size, limit, rows: 1, width: parts[0].size },
      workgroups: packGroups(parts[0].size, packQuads(dtype)),
    });
  return outputs;
}

/** silu(gate) · up, the activation inside a Llama's feed-forward layer; inputs gate and up. */
export const swigluOperation = operation<SwigluOptions>({
  name: 'swiglu',
  cheap: true,

  check([gate, up], { panels }) {
    checkDtypes('swiglu', [gate], panels ? ['f16'] : ['f32', 'f16']);
    checkDtypes('swiglu', [up], [gate.dtype]);
    checkShape('swiglu', 'up', up.shape, gate.shape);
  },

  forward([gate, up], options) {
    const [output] = launch('forward', [contiguous(gate), contiguous(up)], options, 1);
    return { output };
  },

  keeps: () => ({ inputs: [0, 1] }),

  backward({ grad, inputs: [gate, up], attributes: options }) {
    return launch('backward', [contiguous(gate), contiguous(up), grad], options, 2);
  },

  reference: ([gate, up]) =>
    referenceOf(gate.shape, (i) => (gate.data[i] / (1 + Math.exp(-gate.data[i]))) * up.data[i]),
});

/**
 * SwiGLU (arXiv:2002.05202): silu(gate) · up element by element, clamped to the finite range of the dtype.
 *
 * @param gate and up: equal shapes, both f32 or both f16
 */
export function swiglu(gate: Tensor, up: Tensor, options: SwigluOptions = {}): Tensor {
  return apply(swigluOperation, [gate, up], options);
}

import { complain } from '../../errors.ts';
import { contiguous } from '../../tensor/copy.ts';
import type { DType } from '../../tensor/dtype.ts';
import { gatherRows } from '../../tensor/gather.ts';
import { Indices } from '../../tensor/indices.ts';
import { packGroups, packQuads } from '../../tensor/packs.ts';
import { sharedRowParts } from '../../tensor/parts.ts';
import type { KernelChoice } from '../../tensor/pipelines.ts';
import { Tensor } from '../../tensor/tensor.ts';
import type { KernelVariant } from '../../tensor/variants.ts';
import { apply } from '../apply.ts';
import { checkDtypes, checkShape } from '../checks.ts';
import { operation } from '../operation.ts';
import { referenceOf } from '../reference.ts';
import type { RopeTable } from '../rope-table.ts';

/** The kernel for heads of `size` elements, and workgroups for `count` elements. */
function kernelFor(dtype: DType, size: number): [KernelChoice, groups: (count: number) => number] {
  const QUADS = packQuads(dtype);
  return size % (8 * QUADS) === 0
    ? [{ kernel: 'rope_packs.wgsl', defines: { X: dtype, QUADS } }, (count) => packGroups(count / 2, QUADS)]
    : [{ kernel: 'rope.wgsl', defines: { X: dtype } }, (count) => Math.ceil(count / 128)];
}

export const variants: KernelVariant[] = (['f32', 'f16'] as const).flatMap((X) =>
  [6, 64].map((size) => ({ ...kernelFor(X, size)[0], bindings: ['x', 'table', 'positions', 'y'] })),
);

interface Attributes {
  table: RopeTable;
  positions: Indices;
}

function turn(x: Tensor, { table, positions }: Attributes, sign: number): Tensor {
  const { device } = x;
  const [, heads, size] = x.shape;
  const y = Tensor.empty(device, x.shape, x.dtype);
  const last = positions.host.reduce((most, position) => Math.max(most, position), 0);
  const angles = table.upTo(last + 1);
  const [choice, groups] = kernelFor(x.dtype, size);
  device.scope(() => {
    for (const { row, rows } of sharedRowParts([contiguous(x), y, positions.tensor])) {
      const [from, to, places] = rows;
      device.run({
        ...choice,
        bindings: { x: from, y: to, ...tableFor(angles, places, positions.host.subarray(row, row + to.shape[0])) },
        params: { count: to.size, row: heads * size, size, sign },
        workgroups: groups(to.size),
      });
    }
  });
  return y;
}

/** The table with the tokens' rows in it; where it exceeds one binding, a table of just these rows. */
function tableFor(angles: Tensor, positions: Tensor, host: Int32Array): { table: Tensor; positions: Tensor } {
  const { device, shape } = angles;
  if (angles.bytes <= device.capabilities.maxBindingBytes - 16) return { table: angles, positions };
  const table = gatherRows(angles.view([shape[0], 2 * shape[1]]), Indices.from(device, host));
  return { table, positions: Indices.from(device, [...host.keys()]).tensor };
}

/** Turns pairs of elements by an angle that grows with the token's position. */
export const ropeOperation = operation<Attributes>({
  name: 'rope',
  cheap: true,

  check([x], { table, positions }) {
    checkDtypes('rope', [x], ['f32', 'f16']);
    checkShape('rope', 'x', x.shape, ['tokens', 'heads', 2 * table.frequencies.length], { tokens: positions.length });
    const negative = positions.host.findIndex((position) => position < 0);
    if (negative >= 0)
      throw complain({
        where: 'rope',
        got: `position ${positions.host[negative]} of token ${negative}`,
        expected: 'positions from 0',
        remedy: 'count positions from the start of the document',
      });
  },

  forward: ([x], attributes) => ({ output: turn(x, attributes, 1) }),
  keeps: () => ({ inputs: [] }),
  backward: ({ grad, attributes }) => [turn(grad, attributes, -1)],

  reference([x], { table, positions }) {
    const [, heads, size] = x.shape;
    const half = size / 2;
    return referenceOf(x.shape, (i) => {
      const d = i % size;
      const angle = positions.host[Math.floor(i / (heads * size))] * table.frequencies[d % half];
      const other = d < half ? -x.data[i + half] : x.data[i - half];
      return x.data[i] * Math.cos(angle) + other * Math.sin(angle);
    });
  },
});

/**
 * Rotary position embeddings (arXiv:2104.09864) in Hugging Face's layout, where the halves of a head form the pairs.
 *
 * @param x [tokens, heads, size], f32 or f16
 * @param positions of each token in its document
 * @returns as x
 */
export function rope(x: Tensor, table: RopeTable, positions: Indices): Tensor {
  return apply(ropeOperation, [x], { table, positions });
}

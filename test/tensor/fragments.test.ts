import { describe, expect, test } from 'vitest';
import { Device } from '../../src/tensor/device.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

// Fragments of kernels/include/fragments_*.wgsl, emulated everywhere and real ones where there are matrix units.

const device = await testDevice();
const UNITS = usableMatrixShape(device.capabilities) ? ['emulated', 'matrix'] : ['emulated'];
const GROUPS = 4;

const kernelOf = (units: string, left: string, right: string) => ({
  kernel: '../test/support/kernels/fragments.wgsl',
  defines: { UNITS: units, UNROLL: units === 'matrix' ? 'yes' : 'no', A: left, B: right },
});

describe.each([
  ['left', 'right'],
  ['left', 'right_transposed'],
  ['left_transposed', 'right'],
  ['left_transposed', 'right_transposed'],
])('%s · %s', (left, right) => {
  test.each(UNITS)('%s', async (units) => {
    await device.scopeAsync(async () => {
      const make = (seed: number, dtype: 'f16' | 'f32') =>
        Tensor.from(device, normals(GROUPS * 256, seed), [GROUPS, 16, 16], dtype);
      const [a, b, c] = [make(1, 'f16'), make(2, 'f16'), make(3, 'f32')];
      const y = Tensor.empty(device, c.shape);
      device.run({ ...kernelOf(units, left, right), bindings: { a, b, c, y }, workgroups: 1 });
      const [an, bn, cn] = [await a.numbers(), await b.numbers(), await c.numbers()];
      const at = (group: number, row: number, column: number) => group * 256 + row * 16 + column;
      const expected = Float64Array.from(cn, (sum, i) => {
        const [group, row, column] = [i >> 8, (i >> 4) & 15, i & 15];
        for (let k = 0; k < 16; k++)
          sum +=
            an[left === 'left' ? at(group, row, k) : at(group, k, row)] *
            bn[right === 'right' ? at(group, k, column) : at(group, column, k)];
        return sum;
      });
      compare('product', await y.numbers(), expected, 2e-6);
    });
  });

  test('real ones compile on the null backend', async () => {
    const none = await Device.open({ backend: 'null' });
    none.compile(kernelOf('matrix', left, right), ['a', 'b', 'c', 'y']);
    expect(() => none.check()).not.toThrow();
  });
});

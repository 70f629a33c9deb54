import { describe, expect, test } from 'vitest';
import { castTo, contiguous } from '../../src/tensor/copy.ts';
import { mapBinary } from '../../src/tensor/elementwise.ts';
import { gemm } from '../../src/tensor/gemm/gemm.ts';
import { concatenate } from '../../src/tensor/join.ts';
import { inPanels, PanelMatrix } from '../../src/tensor/panel-matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';
import { normalTensor } from '../support/normal-tensor.ts';

const device = await testDevice();
const random = (seed: number, shape: number[], dtype: 'f32' | 'f16') => normalTensor(device, seed, shape, dtype);

describe.each(['f32', 'f16'] as const)('from %s', (dtype) => {
  test.each([
    [128, 128],
    [133, 256],
    [160, 384],
  ])('%ix%i: to panels and back', async (...shape) => {
    await device.scopeAsync(async () => {
      const x = random(1, shape, dtype);
      const panels = inPanels([x]);
      expect(panels.shape).toEqual(shape);
      const expected = await castTo(x, 'f16').data();
      expect(await panels.data()).toEqual(expected);
      // The order of gemm/panels.ts, which products rely on.
      const [rows, columns] = shape;
      const height = 32 * Math.ceil(rows / 32);
      const stored = await panels.stored.data<'f16'>();
      for (const [row, column] of [
        [0, 0],
        [1, 5],
        [6, 127],
        [rows - 1, columns - 1],
      ]) {
        const inPanel = row - (row % 8) + [0, 2, 4, 6, 1, 3, 5, 7][row % 8];
        const at = (Math.floor(column / 32) * height + inPanel) * 32 + (column % 32);
        expect(stored[at]).toBe(expected[row * columns + column]);
      }
    });
  });
});

test('side by side', async () => {
  await device.scopeAsync(async () => {
    const parts = [256, 128, 128].map((columns, i) => random(i, [130, columns], 'f16'));
    expect(await inPanels(parts).data()).toEqual(await concatenate(parts, 1).data());
  });
});

test('what knows no panels gets rows, or is refused', async () => {
  await device.scopeAsync(async () => {
    const x = random(1, [128, 128], 'f16');
    const panels = inPanels([x]);
    expect(panels.view([128, 128])).toBe(panels);
    expect(() => panels.view([1, 128, 128])).toThrow(/matrix in panels \[128,128\]: got a reshape/);
    expect(() => panels.slice()).toThrow(/got a slice/);
    expect(panels.bindable).toBe(false);
    expect(await contiguous(panels).data()).toEqual(await x.data());
    expect(await castTo(panels, 'f32').data()).toEqual(await castTo(x, 'f32').data());
    const sum = (a: Tensor) => mapBinary('sum', 'a + b', a, x).data();
    expect(await sum(panels)).toEqual(await sum(x));
    const product = (a: Tensor, b: Tensor, transposeB: boolean) =>
      gemm({ a, b, transposeB, dtype: 'f32', path: 'portable' }).data();
    for (const transposeB of [false, true])
      expect(await product(panels, panels, transposeB)).toEqual(await product(x, x, transposeB));
    expect(() =>
      device.run({
        kernel: 'accumulate.wgsl',
        defines: { X: 'f16', QUADS: 1 },
        bindings: { x: panels, y: Tensor.empty(device, [128, 128]) },
        params: { count: x.size },
        workgroups: 1,
      }),
    ).toThrow(/contiguous/);
  });
});

test.each([[[127, 128]], [[128, 96]], [[128, 0]]])('there are none of shape %j', (shape) => {
  device.scope(() => expect(() => PanelMatrix.empty(device, shape)).toThrow(/PanelMatrix: got shape/));
});

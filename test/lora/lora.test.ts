import { describe, expect, test, vi } from 'vitest';
import { linear } from '../../src/autograd/ops/linear.ts';
import { lowRankLinearOperation } from '../../src/autograd/ops/low-rank-linear.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { Lora } from '../../src/lora/lora.ts';
import { forwardTogether, Linear } from '../../src/models/linear.ts';
import { loadLlama } from '../../src/models/load.ts';
import { masterTensors } from '../../src/optim/parameter-arena.ts';
import type { Device } from '../../src/tensor/device.ts';
import { adjoined } from '../../src/tensor/join.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';

const SHAPE = [9, 14];

function places(device: Device) {
  const [A, B] = masterTensors(device, [
    [4, 14],
    [9, 4],
  ]);
  return { A, B };
}

test.each([
  { dropout: 0, seed: undefined },
  { dropout: 0, seed: 3 },
  { dropout: 0.5, seed: undefined },
])('gives the product of the merged weight: %j', async ({ dropout, seed }) => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const matrices = { A: Float32Array.from(normals(4 * 14, 1)), B: Float32Array.from(normals(9 * 4, 2)) };
    const lora = new Lora(places(device), { scaling: 0.7, dropout }, matrices);
    const weight = Tensor.from(device, normals(9 * 14, 3), SHAPE);
    const x = Tensor.from(device, normals(5 * 14, 4), [5, 14]);
    const merged = await linear(x, lora.merge(weight)).numbers();
    compare('lora', await lora.forward({ x, weight, dtype: 'f32', seed }).numbers(), merged, 1e-6);
    for (const { tensor } of lora.parameters()) tensor.dispose();
  });
});

describe('layers that share their input', () => {
  const linears = (device: Device, scalings: (number | null)[], dropout = 0) =>
    scalings.map((scaling, i) => {
      const layer = new Linear(`layer${i}`, Tensor.from(device, normals(9 * 14, i), SHAPE));
      const matrices = { A: Float32Array.from(normals(4 * 14, i + 5)), B: Float32Array.from(normals(9 * 4, i + 9)) };
      if (scaling) layer.adapter = new Lora(places(device), { scaling, dropout }, matrices);
      return layer;
    });

  test.each([
    { scalings: [0.7, 0.7, 0.7], dropout: 0, calls: 1 },
    { scalings: [0.7, 0.5], dropout: 0, calls: 2 },
    { scalings: [0.7, null], dropout: 0, calls: 1 },
    { scalings: [0.7, 0.7], dropout: 0.5, calls: 0 },
  ])('give what they give one by one: %j', async ({ scalings, dropout, calls }) => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const x = Tensor.from(device, normals(5 * 14, 4), [5, 14]);
      const layers = linears(device, scalings, dropout);
      const forward = vi.spyOn(lowRankLinearOperation, 'forward');
      const together = forwardTogether(x, layers, { seed: 3 });
      expect(forward).toHaveBeenCalledTimes(calls);
      forward.mockRestore();
      for (const [i, y] of together.entries())
        expect(await y.numbers()).toEqual(await layers[i].forward(x, { seed: 3 }).numbers());
      for (const { adapter } of layers) for (const { tensor } of adapter?.parameters() ?? []) tensor.dispose();
    });
  });

  test('have matrices A side by side', async () => {
    const device = await testDevice();
    const model = await loadLlama(device, 'test/reference/llama-tiny', { precision: 'f32' });
    const target_modules = ['up_proj', 'q_proj', 'v_proj', 'gate_proj', 'k_proj', 'down_proj'];
    attachAdapters(model, parsePeftConfig({ peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules }, 'test'), {
      uniform: () => 0.5,
    });
    for (const { q, k, v, gate, up } of model.layers)
      for (const group of [
        [q, k, v],
        [gate, up],
      ])
        for (const dtype of ['f32', 'f16'] as const)
          expect(adjoined(group.map(({ adapter }) => (adapter as Lora).A.dense(dtype)))).not.toBeNull();
    model.dispose();
  });
});

test('dropout takes a mask for each seed, before A alone', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const matrices = { A: Float32Array.from(normals(4 * 14, 1)), B: new Float32Array(9 * 4) };
    const lora = new Lora(places(device), { scaling: 0.7, dropout: 0.5 }, matrices);
    const weight = Tensor.from(device, normals(9 * 14, 3), SHAPE);
    const x = Tensor.from(device, normals(5 * 14, 4), [5, 14]);
    const run = async (seed: number) => [...(await lora.forward({ x, weight, dtype: 'f32', seed }).numbers())];
    expect(await run(1)).toEqual([...(await linear(x, weight).numbers())]);
    device.upload(lora.B, new Uint8Array(Float32Array.from(normals(9 * 4, 2)).buffer));
    expect(await run(1)).toEqual(await run(1));
    expect(await run(1)).not.toEqual(await run(2));
    for (const { tensor } of lora.parameters()) tensor.dispose();
  });
});

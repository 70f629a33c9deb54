import { expect, test } from 'vitest';
import { linear } from '../../src/autograd/ops/linear.ts';
import { Lora } from '../../src/lora/lora.ts';
import { masterTensors } from '../../src/optim/parameter-arena.ts';
import type { Device } from '../../src/tensor/device.ts';
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

import { expect, test } from 'vitest';
import { cudaMean } from '../../src/quant/mean.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';
import { randomState } from '../support/mersenne-twister.ts';
import { cudaMeanReference } from './mean-reference.ts';

/** n and the bits of torch.mean(torch.from_numpy(RandomState(n).rand(n).astype(float32)).cuda()): PyTorch 2.11, H100. */
const MEANS = [
  [1, 0x3ed583e8],
  [2, 0x3e6c80ed],
  [3, 0x3f044100],
  [5, 0x3f0a9233],
  [31, 0x3eded648],
  [33, 0x3efe61a0],
  [64, 0x3eddf7a9],
  [100, 0x3ef1da0f],
  [127, 0x3f017095],
  [128, 0x3f075e80],
  [129, 0x3ed75c80],
  [130, 0x3f078406],
  [131, 0x3f05f9fa],
  [133, 0x3f03dff0],
  [200, 0x3f04a2a4],
  [257, 0x3f00fade],
  [511, 0x3ef7ae5e],
  [640, 0x3f0135c2],
  [1000, 0x3efac913],
  [2048, 0x3efc6b25],
  [2051, 0x3f02df95],
  [4097, 0x3efd697f],
  [16384, 0x3efe8db2],
  [65536, 0x3effbd72],
  [100000, 0x3f004c07],
  [131068, 0x3f00001c],
  [131071, 0x3eff8ec4],
  [131072, 0x3efff9aa],
  [131073, 0x3f000a90],
  [131079, 0x3effd88e],
  [262144, 0x3effacf2],
  [262147, 0x3f001f22],
  [300000, 0x3f003f03],
  [458752, 0x3f00023a],
  [917504, 0x3efff84c],
  [1000003, 0x3f0003d5],
] as const; // prettier-ignore

test('means have the bits of torch.mean on CUDA', async () => {
  const device = await testDevice();
  for (const [count, bits] of MEANS) {
    const next = randomState(count);
    const values = Float32Array.from({ length: count }, next);
    const want = new Float32Array(Uint32Array.of(bits).buffer)[0];
    expect(cudaMeanReference(values), `plain loops, ${count}`).toBe(want);
    const mean = device.scope(() => cudaMean(Tensor.from(device, values)));
    expect(await mean.item(), `GPU, ${count}`).toBe(want);
    mean.dispose();
  }
});

test('a NaN or infinity is not lost', async () => {
  const device = await testDevice();
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
    await device.scopeAsync(async () => {
      const values = new Float32Array(777).fill(1);
      values[700] = bad;
      expect(await cudaMean(Tensor.from(device, values)).item()).toBe(bad);
    });
});

import { expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { GradientScaling } from '../../src/optim/gradient-scaling.ts';
import type { Device } from '../../src/tensor/device.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

/** Leaves with these gradients. */
function leaves(device: Device, gradients: readonly ArrayLike<number>[]) {
  return gradients.map((values, i) => {
    const tensor = Tensor.zeros(device, [values.length]);
    tensor.grad = Tensor.from(device, values);
    return { name: `p${i}`, tensor };
  });
}

const normOf = (gradients: readonly ArrayLike<number>[]) =>
  Math.sqrt(gradients.reduce((sum, g) => sum + Array.from(g).reduce((s, x) => s + x * x, 0), 0));

test.each([
  [[1]],
  [[3]],
  [[63, 64, 65]],
  [[255, 256, 257]],
  [[4095, 4096, 4097]],
  [[16383, 16384, 16385, 1]],
  [[300_000, 7]],
])('norm of gradients of %j elements against double precision', async (sizes) => {
  const device = await testDevice();
  const gradients = sizes.map((n, i) => normals(n, i + n));
  await device.scopeAsync(async () => {
    const scaling = new GradientScaling(device, { enabled: false });
    scaling.measure(leaves(device, gradients));
    const { grad_norm, found_inf } = await scaling.read();
    expect(found_inf).toBe(false);
    expect(Math.abs(grad_norm / normOf(gradients) - 1)).toBeLessThan(1e-6);
    scaling.dispose();
  });
});

test('ten million elements with outliers, to 1e-5', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const values = Float32Array.from({ length: 10_000_000 }, (_, i) => ((i * 7919) % 10007) * 1e-6 + 1e-3);
    values[123_456] = 5;
    let sum = 0;
    for (const x of values) sum += x * x;
    const scaling = new GradientScaling(device, { enabled: false });
    scaling.measure(leaves(device, [values]));
    expect(Math.abs((await scaling.read()).grad_norm / Math.sqrt(sum) - 1)).toBeLessThan(1e-5);
    scaling.dispose();
  });
});

test('over several bindings the same', async () => {
  const device = await limitedDevice({ maxBindingBytes: 65536 });
  const gradients = [normals(50_001, 1), normals(9, 2)];
  await device.scopeAsync(async () => {
    const scaling = new GradientScaling(device, { enabled: false });
    scaling.measure(leaves(device, gradients));
    expect(Math.abs((await scaling.read()).grad_norm / normOf(gradients) - 1)).toBeLessThan(1e-6);
    scaling.dispose();
  });
  device.close();
});

test('clips as clip_grad_norm_ does, with scale and divisor', async () => {
  const device = await testDevice();
  const gradients = [normals(100, 1), normals(33, 2)];
  for (const [scale, divisor, max] of [
    [1, 1, 0],
    [1, 1, 1],
    [1, 1, 1e6],
    [65536, 1, 1],
    [1024, 37, 0.5],
    [65536, 3, 0],
  ])
    await device.scopeAsync(async () => {
      const scaling = new GradientScaling(device, { initialScale: scale });
      scaling.measure(
        leaves(
          device,
          gradients.map((g) => g.map((x) => x * scale * divisor)),
        ),
        max,
        divisor,
      );
      const norm = normOf(gradients);
      const clip = max > 0 ? Math.min(1, max / (norm + 1e-6)) : 1;
      const stats = await scaling.stats.data();
      expect(Math.abs(stats[3] / norm - 1)).toBeLessThan(1e-6);
      expect(Math.abs((stats[4] * scale * divisor) / clip - 1)).toBeLessThan(2e-6);
      scaling.dispose();
    });
});

test('gradients that the scale made large do not overflow the squares', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const scaling = new GradientScaling(device, { initialScale: 2 ** 40 });
    scaling.measure(leaves(device, [new Float32Array(1000).fill(2 ** 70)]));
    const { grad_norm, found_inf } = await scaling.read();
    expect(found_inf).toBe(false);
    expect(Math.abs(grad_norm / (2 ** 30 * Math.sqrt(1000)) - 1)).toBeLessThan(1e-6);
    scaling.dispose();
  });
});

test.each([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['a sum of squares that overflows', 1e25],
])('%s is found wherever it is', async (_, bad) => {
  const device = await testDevice();
  for (const [count, place] of [
    [1, 0],
    [7, 6],
    [16384, 16383],
    [16385, 16384],
    [40_000, 20_001],
  ])
    await device.scopeAsync(async () => {
      const gradient = new Float32Array(count).fill(1e-3);
      gradient[place] = bad;
      const scaling = new GradientScaling(device, { enabled: false });
      scaling.measure(leaves(device, [normals(5, 1), gradient]));
      scaling.update();
      expect(await scaling.read()).toMatchObject({ found_inf: true, skipped: 1, loss_scale: 1 });
      expect((await scaling.stats.data())[4]).toBe(0);
      scaling.dispose();
    });
});

test('the scale moves as torch.amp.GradScaler moves it', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const scaling = new GradientScaling(device, { initialScale: 1024, growth: 4, backoff: 0.25, interval: 3 });
    const [good, bad] = [leaves(device, [[1]]), leaves(device, [[Number.NaN]])];
    const scales: number[] = [];
    for (const step of 'ggbgggbbggggg') {
      scaling.measure(step === 'g' ? good : bad);
      scaling.update();
      scales.push((await scaling.read()).loss_scale);
    }
    expect(scales).toEqual([1024, 1024, 256, 256, 256, 1024, 256, 64, 64, 64, 256, 256, 256]);
    expect((await scaling.read()).skipped).toBe(3);

    const copy = new GradientScaling(device, { initialScale: 1024, growth: 4, backoff: 0.25, interval: 3 });
    copy.loadState(await scaling.state());
    copy.measure(good);
    copy.update();
    expect((await copy.read()).loss_scale).toBe(1024);
    expect(() => copy.loadState(new Float32Array(2))).toThrow(UserError);
    copy.dispose();
    scaling.dispose();
  });
});

test('the scale never grows to infinity', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const scaling = new GradientScaling(device, { initialScale: 2 ** 127, interval: 1 });
    const good = leaves(device, [[1]]);
    for (let i = 0; i < 3; i++) {
      scaling.measure(good);
      scaling.update();
    }
    expect((await scaling.read()).loss_scale).toBe(2 ** 127);
    scaling.dispose();
  });
});

test('defaults are those of GradScaler; disabled, the scale stays 1', async () => {
  const device = await testDevice();
  const before = device.memory.live;
  const [on, off] = [new GradientScaling(device), new GradientScaling(device, { enabled: false })];
  expect(await on.lossScale.item()).toBe(65536);
  expect(await off.lossScale.item()).toBe(1);
  on.measure([]);
  expect(await on.read()).toEqual({ loss_scale: 65536, grad_norm: 0, found_inf: false, skipped: 0 });
  on.dispose();
  off.dispose();
  expect(device.memory.live).toBe(before);
});

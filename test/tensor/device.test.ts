import { describe, expect, test, vi } from 'vitest';
import { Device } from '../../src/tensor/device.ts';
import { addInto, mapUnary } from '../../src/tensor/elementwise.ts';
import { sumAll } from '../../src/tensor/reduce.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const own = (name: string) => `../test/support/kernels/${name}.wgsl`;
const PARAMS = { count: 4, shift: -3, value: 0.5, extra: [0, 0, 0, 7], last: 100 };

function fill(device: Device, y: Tensor, params: Record<string, number | number[]>, factor?: number) {
  device.run({
    kernel: own('fill'),
    constants: factor === undefined ? {} : { factor },
    bindings: { y },
    params,
    workgroups: 4,
  });
}

describe('run', () => {
  test('passes parameters of every type, and override constants', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const y = Tensor.empty(device, [4]);
      fill(device, y, PARAMS);
      expect([...(await y.numbers())]).toEqual([104.5, 104.5, 104.5, 104.5]);
      fill(device, y, { ...PARAMS, count: 2 }, 2);
      expect([...(await y.numbers())]).toEqual([209, 209, 104.5, 104.5]);
    });
  });

  test('launches over ever new ranges do not exhaust the driver', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      // Each range needs a bind group of its own, and a Linux process has 65,530 memory mappings.
      const whole = Tensor.zeros(device, [70_000 * 4]);
      for (let i = 0; i < 70_000; i++) {
        fill(device, whole.slice(0, i * 4, i * 4 + 4), PARAMS);
        if (i % 1000 === 0) await device.finish(); // As after a training step: what is forgotten can be collected.
      }
      const values = await whole.numbers();
      expect([...values.slice(0, 4), ...values.slice(-4)]).toEqual(new Array(8).fill(104.5));
    });
  });

  test('keeps the order of more launches than a batch holds', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const total = Tensor.zeros(device, [8]);
      const one = Tensor.from(device, new Float32Array(8).fill(1));
      for (let i = 0; i < 2500; i++) addInto(total, one);
      expect([...(await total.numbers())]).toEqual(new Array(8).fill(2500));
    });
  });

  test('folds grids that are longer than a dimension allows', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const most = device.capabilities.limits.maxComputeWorkgroupsPerDimension;
      const count = (most + 1) * 128 + 77;
      const ones = device.scope(() => mapUnary('a + 1.0', Tensor.zeros(device, [count], 'f16')));
      expect(await sumAll(ones).item()).toBe(count);
    });
    device.trim();
  });

  test('uploads do not overtake work that was recorded before', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const x = Tensor.from(device, [1, 2]);
      const y = mapUnary('a * 10.0', x);
      device.upload(x, new Uint8Array(Float32Array.from([5, 6]).buffer));
      const z = mapUnary('a * 10.0', x);
      expect([...(await y.numbers()), ...(await z.numbers())]).toEqual([10, 20, 50, 60]);
    });
  });

  test.each([
    ['a missing parameter', { count: 4 }, /fill\.wgsl:main: got params count, expected count,shift,value,extra,last; /],
    ['a misspelt parameter', { ...PARAMS, last: undefined, lsat: 1 }, /fill\.wgsl:main: got params .*lsat/],
  ])('refuses %s', async (_, params, message) => {
    const device = await testDevice();
    device.scope(() => {
      const y = Tensor.empty(device, [4]);
      expect(() => fill(device, y, params as Record<string, number>)).toThrow(message);
    });
  });

  test('refuses bindings that the kernel lacks, views and tensors too large for one binding', async () => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    device.scope(() => {
      const launch = (bindings: Record<string, Tensor>) => () =>
        device.run({ kernel: own('fill'), bindings, params: PARAMS, workgroups: 1 });
      const x = Tensor.empty(device, [8, 8]);
      expect(launch({ z: x })).toThrow(/fill\.wgsl:main: has no binding z; it declares y/);
      expect(launch({ y: x.transpose() })).toThrow(/fill\.wgsl:main\(y\): got a view with strides \[1,8\]/);
      expect(launch({ y: x.view([64]).slice(0, 1, 5) })).toThrow(/at byte 4, expected a contiguous, aligned tensor/);
      expect(launch({ y: Tensor.empty(device, [1025]) })).toThrow(
        /got 4112 bytes, expected at most 4096 in one binding/,
      );
    });
    device.close();
  });
});

describe('errors of the GPU', () => {
  test('a kernel that does not compile throws at the next check and at every later one', async () => {
    const device = await Device.open();
    const y = Tensor.zeros(device, [1]);
    device.run({ kernel: own('broken'), bindings: { y }, workgroups: 1 });
    await expect(y.data()).rejects.toThrow(/GPUValidationError: .*broken\.wgsl:main|cannot assign|type/);
    expect(() => device.check()).toThrow(/GPU GPUValidationError/);
    await expect(device.finish()).rejects.toThrow(/GPU GPUValidationError/);
  });

  test('a buffer larger than the adapter has is refused before it reaches the GPU', async () => {
    const device = await testDevice();
    const { maxBufferBytes } = device.capabilities;
    expect(() => device.allocate(maxBufferBytes + 4)).toThrow(/^device\.allocate: got \d+ bytes, expected at most/);
    device.check();
  });

  test('a closed device says so', async () => {
    const device = await Device.open();
    const x = Tensor.zeros(device, [4]);
    device.close();
    await expect(x.data()).rejects.toThrow(/^device: used after close/);
  });
});

describe('open', () => {
  test('takes features away and lowers limits on request', async () => {
    const device = await limitedDevice({ without: ['f16'], maxBindingBytes: 65536 });
    const { f16, matrixShapes, maxBindingBytes, features } = device.capabilities;
    expect([f16, matrixShapes, maxBindingBytes, features.has('shader-f16')]).toEqual([false, [], 65536, false]);
    // f16 tensors work without the feature.
    const y = mapUnary('a + 1.0', Tensor.from(device, [1, 2, 3], [3], 'f16'));
    expect([...(await y.numbers())]).toEqual([2, 3, 4]);
    device.close();
  });

  test('kernels run with bounds checks too', async () => {
    const device = await Device.open({ safeKernels: true });
    expect(device.capabilities.safeKernels).toBe(true);
    expect(await sumAll(Tensor.from(device, new Float32Array(5000).fill(2))).item()).toBe(10000);
    device.close();
  });

  test('names the remedy when there is no adapter', async () => {
    await expect(Device.open({ backend: 'd3d12' })).rejects.toThrow(/^device: got no GPU adapter.*ensure-vulkan/);
  });

  test('fresh tensors are poisoned on request, in every float dtype', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      for (const dtype of ['f32', 'f16'] as const)
        for (const x of await Tensor.empty(device, [5], dtype).numbers()) expect(x).toBeNaN();
    });
  });
});

test('readbacks, several at a time, come through the same buffers', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const tensors = [[1, 2, 3], [4], [5, 6]].map((values) => Tensor.from(device, values));
    const read = async () => (await Promise.all(tensors.map((x) => x.data()))).map((values) => [...values]);
    expect(await read()).toEqual([[1, 2, 3], [4], [5, 6]]);
    const create = vi.spyOn(GPUDevice.prototype, 'createBuffer');
    device.zero(tensors[2]);
    expect(await read()).toEqual([[1, 2, 3], [4], [0, 0]]);
    expect(create).not.toHaveBeenCalled();
    create.mockRestore();
  });
});

test('trim destroys what nothing uses and nothing else', async () => {
  const device = await Device.open();
  const kept = Tensor.from(device, [1, 2, 3]);
  Tensor.from(device, new Float32Array(1e5)).dispose();
  const y = mapUnary('a + 1.0', kept);
  expect(device.memory.reservedBytes).toBeGreaterThan(4e5);
  device.trim();
  expect(device.memory.reservedBytes).toBe(device.memory.liveBytes);
  expect([...(await mapUnary('a * 2.0', y).numbers())]).toEqual([4, 6, 8]);
  device.close();
});

test('tensors that move within a budget keep what was and is written to them, their views too', async () => {
  const device = await Device.open();
  device.reserve([65536, 2048, 2048], 70000);
  const numbers = (first: number) => Float32Array.from({ length: 512 }, (_, i) => first + i);
  const [one, first] = [1, 2].map((value) => Tensor.from(device, new Float32Array(512).fill(value)));
  const x = Tensor.from(device, numbers(0)); // All that was left is the large buffer.
  const end = x.slice(0, 448, 512);
  first.dispose();
  const increase = () => device.scope(() => void addInto(x, one));
  increase();
  const large = Tensor.from(device, new Float32Array(5120).fill(3));
  // It has gone, to make room.
  expect(device.memory.reservedBytes).toBe(2048 + 2048 + 20480);
  expect(device.memory.peakReservedBytes).toBeLessThanOrEqual(70000);
  increase();
  expect(await x.numbers()).toEqual(numbers(2));
  expect(await end.numbers()).toEqual(numbers(2).slice(448));
  expect(new Set(await large.numbers())).toEqual(new Set([3]));
  device.close();
});

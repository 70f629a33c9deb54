import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { AdamW } from '../../src/optim/adamw.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { GradientScaling } from '../../src/optim/gradient-scaling.ts';
import type { Optimizer, Parameter, SavedState } from '../../src/optim/optimizer.ts';
import { arrayOf, readArrays } from '../../src/reference/files.ts';
import type { Device } from '../../src/tensor/device.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const arrays = await readArrays('test/reference/adamw8bit.safetensors');
const f32 = Math.fround;

/** What the reference run used; it is not written down there but follows from the f32 states of `small`. */
const REFERENCE = { lr: 1e-2, options: { betas: [0.9, 0.999] as const, eps: 1e-8, weight_decay: 0.01 } };

function setGradient(parameter: Parameter, values: ArrayLike<number>): void {
  const { device, shape } = parameter.tensor;
  parameter.tensor.grad?.dispose();
  parameter.tensor.grad = device.persist(Tensor.from(device, values, shape));
}

function parameterOf(device: Device, name: string, values: ArrayLike<number>, shape = [values.length]): Parameter {
  return { name, tensor: device.persist(Tensor.from(device, values, shape)) };
}

function expectSame(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length, name).toBe(expected.length);
  for (let i = 0; i < expected.length; i++)
    if (!Object.is(actual[i], expected[i])) throw new Error(`${name}[${i}]: got ${actual[i]}, expected ${expected[i]}`);
}

async function runReference(device: Device): Promise<void> {
  for (const name of ['small', 'big', 'odd']) {
    const { shape, data } = arrayOf(arrays, `${name}.param0`);
    const parameter = parameterOf(device, name, data, [...shape]);
    const optimizer = new AdamW8bit([parameter], REFERENCE.options);
    for (let step = 0; step < 8; step++) {
      setGradient(parameter, arrayOf(arrays, `${name}.grad${step}`).data);
      optimizer.step({ lr: REFERENCE.lr });
      const want = arrayOf(arrays, `${name}.param${step + 1}`).data;
      const got = await parameter.tensor.data();
      const scale = Math.max(...Array.from(want, Math.abs));
      for (let i = 0; i < want.length; i++)
        if (!(Math.abs(got[i] - want[i]) <= 1e-6 * scale))
          throw new Error(`${name} step ${step} [${i}]: got ${got[i]}, bitsandbytes ${want[i]}`);
    }
    for (const [key, { data }] of await optimizer.state())
      if (key !== 'step') expectSame(key, data, arrayOf(arrays, key.replace('.', '.state.')).data);
    optimizer.dispose();
    parameter.tensor.dispose();
  }
}

describe('AdamW8bit', () => {
  test('eight steps of bitsandbytes: all state bytes and scales, parameters to 1e-6', async () => {
    const device = await testDevice();
    const before = device.memory.live;
    await runReference(device);
    expect(device.memory.live).toBe(before);
  });

  test('the same over several bindings', async () => {
    const device = await limitedDevice({ maxBindingBytes: 16384 });
    await runReference(device);
    device.close();
  });

  test.each([4095, 4096, 4097])('%i elements: f32 states below 4096', async (count) => {
    const device = await testDevice();
    const parameter = parameterOf(device, 'w', normals(count, 5));
    const optimizer = new AdamW8bit([parameter]);
    setGradient(parameter, normals(count, 6));
    optimizer.step({ lr: 1e-3 });
    const state = await optimizer.state();
    expect(state.get('w.state1')?.data).toBeInstanceOf(count < 4096 ? Float32Array : Uint8Array);
    expect(state.has('w.absmax1')).toBe(count >= 4096);
    optimizer.dispose();
    parameter.tensor.dispose();
  });

  test('a zero gradient moves nothing but decay', async () => {
    const device = await testDevice();
    const parameter = parameterOf(device, 'w', new Float32Array(5000).fill(2));
    const optimizer = new AdamW8bit([parameter], { weight_decay: 0.5 });
    setGradient(parameter, new Float32Array(5000));
    for (let i = 0; i < 3; i++) optimizer.step({ lr: 0.5 });
    expect([...new Set(await parameter.tensor.data())]).toEqual([2 * 0.75 ** 3]);
    optimizer.dispose();
    parameter.tensor.dispose();
  });
});

/** torch.optim.AdamW in double precision. */
function adamWReference(values: Float64Array, lr: number, [b1, b2]: readonly number[], eps: number, decay: number) {
  const m = new Float64Array(values.length);
  const v = new Float64Array(values.length);
  let t = 0;
  return (gradient: ArrayLike<number>) => {
    t++;
    for (let i = 0; i < values.length; i++) {
      m[i] = b1 * m[i] + (1 - b1) * gradient[i];
      v[i] = b2 * v[i] + (1 - b2) * gradient[i] ** 2;
      const update = m[i] / (1 - b1 ** t) / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps);
      values[i] = values[i] * (1 - lr * decay) - lr * update;
    }
  };
}

describe('AdamW', () => {
  test.each([1, 2, 3, 4, 63, 255, 256, 257, 4097])('%i elements against double precision', async (count) => {
    const device = await testDevice();
    const start = normals(count, 3);
    const parameter = parameterOf(device, 'w', start);
    const options = { betas: [0.9, 0.99] as const, eps: 1e-6, weight_decay: 0.1 };
    const optimizer = new AdamW([parameter], options);
    const truth = Float64Array.from(start);
    const step = adamWReference(truth, 0.01, options.betas, options.eps, options.weight_decay);
    for (let t = 0; t < 20; t++) {
      const gradient = normals(count, 100 + t).map((x) => f32(x * 10 ** -(t % 7)));
      setGradient(parameter, gradient);
      optimizer.step({ lr: 0.01 });
      step(gradient);
    }
    for (const [i, value] of (await parameter.tensor.data()).entries())
      expect(Math.abs(value - truth[i])).toBeLessThan(2e-6);
    optimizer.dispose();
    parameter.tensor.dispose();
  });

  test('bias corrections stay right beyond the first table of 1024 steps', async () => {
    const device = await testDevice();
    const parameter = parameterOf(device, 'w', [1, -2, 3]);
    const optimizer = new AdamW([parameter], { betas: [0.9, 0.9999], weight_decay: 0 });
    const truth = Float64Array.of(1, -2, 3);
    const step = adamWReference(truth, 1e-4, [0.9, 0.9999], 1e-8, 0);
    const gradient = [1, 0.5, -0.25];
    setGradient(parameter, gradient);
    for (let t = 0; t < 3000; t++) {
      optimizer.step({ lr: 1e-4 });
      step(gradient);
    }
    for (const [i, value] of (await parameter.tensor.data()).entries())
      expect(Math.abs(value - truth[i])).toBeLessThan(1e-3); // beta2 + (1 - beta2) is not 1 in f32.
    optimizer.dispose();
    parameter.tensor.dispose();
  });

  test('weight decay of a parameter, parameters without a gradient, neighbours in one buffer', async () => {
    const device = await testDevice();
    const whole = device.persist(Tensor.from(device, new Float32Array(70).fill(1)));
    const parameters: Parameter[] = [
      { name: 'head', tensor: whole.slice(0, 0, 62), weightDecay: 0 },
      { name: 'tail', tensor: whole.slice(0, 64, 70) },
    ];
    const optimizer = new AdamW(parameters, { weight_decay: 0.5 });
    setGradient(parameters[0], new Float32Array(62));
    optimizer.step({ lr: 1 });
    expect([...(await whole.data())]).toEqual(new Array(70).fill(1));
    setGradient(parameters[0], new Float32Array(62).fill(1));
    setGradient(parameters[1], new Float32Array(6));
    optimizer.step({ lr: 1 });
    const after = await whole.data();
    expect(after.subarray(0, 62).every((x) => x < 1)).toBe(true);
    expect([...after.subarray(62)]).toEqual([1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    for (const { tensor } of parameters) tensor.grad?.dispose();
    optimizer.dispose();
    whole.dispose();
  });
});

const KINDS: [string, (parameters: Parameter[]) => Optimizer][] = [
  ['AdamW', (parameters) => new AdamW(parameters)],
  ['AdamW8bit', (parameters) => new AdamW8bit(parameters)],
];

describe.each(KINDS)('%s', (_, make) => {
  const sizes = [5000, 100, 4096];
  const setup = (device: Device) => sizes.map((size, i) => parameterOf(device, `p${i}`, normals(size, i + 1)));
  const gradients = (parameters: Parameter[], t: number) => {
    for (const [i, parameter] of parameters.entries()) setGradient(parameter, normals(sizes[i], 50 * t + i));
  };
  const free = (parameters: Parameter[]) => {
    for (const { tensor } of parameters) tensor.dispose();
  };
  const values = async (parameters: Parameter[]) => Promise.all(parameters.map(({ tensor }) => tensor.data()));

  test('resumes to the bit from its saved state', async () => {
    const device = await testDevice();
    const before = device.memory.live;
    const [a, b] = [setup(device), setup(device)];
    const first = make(a);
    let saved = new Map<string, SavedState>();
    for (let t = 0; t < 6; t++) {
      gradients(a, t);
      first.step({ lr: 1e-2 });
      if (t === 2) {
        saved = await first.state();
        for (const [i, { tensor }] of a.entries()) device.copy(tensor, b[i].tensor);
      }
    }
    const second = make(b);
    second.loadState(saved);
    for (let t = 3; t < 6; t++) {
      gradients(b, t);
      second.step({ lr: 1e-2 });
    }
    expect(await values(b)).toEqual(await values(a));
    expect(await second.state()).toEqual(await first.state());
    first.dispose();
    second.dispose();
    free(a);
    free(b);
    expect(device.memory.live).toBe(before);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('a gradient of %d changes nothing, to the bit', async (bad) => {
    const device = await testDevice();
    const [a, b] = [setup(device), setup(device)];
    const scaling = new GradientScaling(device);
    const [skipping, plain] = [make(a), make(b)];
    for (let t = 0; t < 5; t++) {
      const skip = t === 1 || t === 3;
      const scale = (await scaling.read()).loss_scale;
      for (const [i, parameter] of a.entries()) {
        const gradient = normals(sizes[i], 50 * t + i).map((x) => x * scale);
        if (skip && i === 2) gradient[4095] = bad;
        setGradient(parameter, gradient);
      }
      const earlier = [await values(a), await skipping.state()];
      scaling.measure(a);
      skipping.step({ lr: 1e-2, stats: scaling.stats });
      scaling.update();
      if (skip) expect([await values(a), await skipping.state()]).toEqual(earlier);
      else {
        gradients(b, t);
        plain.step({ lr: 1e-2 });
      }
    }
    // Skipped steps count in no bias correction either; scales are powers of two.
    expect(await values(a)).toEqual(await values(b));
    expect(await skipping.state()).toEqual(await plain.state());
    expect(await scaling.read()).toMatchObject({ skipped: 2, loss_scale: 16384, found_inf: false });
    scaling.dispose();
    skipping.dispose();
    plain.dispose();
    free(a);
    free(b);
  });

  test('a NaN without a finite check reaches the parameters', async () => {
    const device = await testDevice();
    const a = setup(device);
    const optimizer = make(a);
    gradients(a, 0);
    setGradient(a[0], normals(5000, 1).fill(Number.NaN, 7, 8));
    optimizer.step({ lr: 1e-2 });
    expect((await a[0].tensor.data())[7]).toBeNaN();
    optimizer.dispose();
    free(a);
  });

  test('wrong parameters, options and states are refused', async () => {
    const device = await testDevice();
    const a = setup(device);
    const optimizer = make(a);
    const saved = await optimizer.state();
    expect(() => make([a[0], a[0]])).toThrow(UserError);
    const half = device.persist(Tensor.zeros(device, [4], 'f16'));
    expect(() => make([{ name: 'half', tensor: half }])).toThrow(/got f16/);
    half.dispose();
    expect(() => new AdamW(a, { betas: [1, 0.9] })).toThrow(UserError);
    expect(() => new AdamW8bit(a, { eps: -1 })).toThrow(UserError);
    for (const key of saved.keys()) {
      const without = new Map(saved);
      without.delete(key);
      expect(() => optimizer.loadState(without)).toThrow(new RegExp(key));
      without.set(key, { shape: [2], data: new Float32Array(2) });
      expect(() => optimizer.loadState(without)).toThrow(/got 2 elements/);
    }
    optimizer.dispose();
    free(a);
    const none = make([]);
    none.step({ lr: 1 });
    expect((await none.state()).size).toBe(0);
    none.dispose();
  });
});

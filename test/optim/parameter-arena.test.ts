import { describe, expect, test, vi } from 'vitest';
import { linear } from '../../src/autograd/ops/linear.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { AdamW } from '../../src/optim/adamw.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { GradientScaling } from '../../src/optim/gradient-scaling.ts';
import type { Optimizer, Parameter } from '../../src/optim/optimizer.ts';
import { masterTensors } from '../../src/optim/parameter-arena.ts';
import { spansOf } from '../../src/optim/regions.ts';
import { arrayOf, readArrays } from '../../src/reference/files.ts';
import { castTo } from '../../src/tensor/copy.ts';
import type { Device } from '../../src/tensor/device.ts';
import { mapUnary } from '../../src/tensor/elementwise.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

const bytes = (values: ArrayLike<number>) => new Uint8Array(Float32Array.from(values).buffer);

/** Parameters p0, p1, … of these sizes in one arena, with seeded values. */
function together(device: Device, sizes: readonly number[]): Parameter[] {
  return masterTensors(
    device,
    sizes.map((size) => [size]),
  ).map((tensor, i) => {
    device.upload(tensor, bytes(normals(sizes[i], i + 1)));
    return { name: `p${i}`, tensor };
  });
}

/** The same parameters, each in memory of its own. */
function apart(device: Device, sizes: readonly number[]): Parameter[] {
  return sizes.map((size, i) => ({ name: `p${i}`, tensor: device.persist(Tensor.from(device, normals(size, i + 1))) }));
}

function setGradient({ tensor }: Parameter, values: ArrayLike<number>): void {
  const { device } = tensor;
  tensor.grad ??= device.persist(tensor.newGradient());
  device.upload(tensor.grad, bytes(values));
}

function clearGradient({ tensor }: Parameter): void {
  tensor.grad?.dispose();
  tensor.grad = null;
}

const free = (parameters: readonly Parameter[]) => {
  for (const { tensor } of parameters) tensor.dispose();
};

describe('masterTensors', () => {
  test('lie one after the other at multiples of 256 elements, zero, and free their memory with the last', async () => {
    const device = await testDevice();
    const before = device.memory.live;
    const tensors = masterTensors(device, [[3, 7], [256], [300], [1]]);
    expect(tensors.map(({ offset }) => offset)).toEqual([0, 256, 512, 1024]);
    expect(new Set(tensors.map(({ storage }) => storage)).size).toBe(1);
    for (const tensor of tensors) {
      expect(tensor.requires_grad && tensor.bindable).toBe(true);
      expect((await tensor.data()).every((x) => x === 0)).toBe(true);
      tensor.grad = device.persist(tensor.newGradient());
      tensor.dense('f16');
    }
    expect(device.memory.live).toBe(before + 3);
    for (const tensor of tensors) tensor.dispose();
    expect(device.memory.live).toBe(before);
  });

  test('go to as many buffers as bindings need', async () => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    const tensors = masterTensors(device, [[500], [500], [10], [5000], [1]]);
    const [a, b, c, d, e] = tensors.map(({ storage }) => storage);
    expect([a === b, b === c, c === d, d === e]).toEqual([true, false, false, false]);
    device.close();
  });

  test('convert to f16 together, again after each change of any of them', async () => {
    const device = await testDevice();
    const [a, b] = together(device, [300, 70]).map(({ tensor }) => tensor);
    await device.scopeAsync(async () => {
      const check = async () => {
        for (const tensor of [a, b])
          expect(await tensor.dense('f16').data<'f16'>()).toEqual(await castTo(tensor, 'f16').data<'f16'>());
      };
      await check();
      const run = vi.spyOn(device, 'run');
      for (const tensor of [a, b, a]) tensor.dense('f16');
      expect(run).toHaveBeenCalledTimes(0);
      device.upload(b, bytes(normals(70, 9)));
      await check();
      device.copy(mapUnary('a * 3.0', a), a);
      await check();
      device.zero(b);
      await check();
      setGradient({ name: 'a', tensor: a }, normals(300, 5));
      const optimizer = new AdamW([{ name: 'a', tensor: a }]);
      optimizer.step({ lr: 0.1 });
      await check();
      optimizer.dispose();
      run.mockRestore();
    });
    a.dispose();
    b.dispose();
  });

  test('take gradients from products in place', async () => {
    const device = await testDevice();
    const [w] = masterTensors(device, [[3, 5], [4]]);
    await device.scopeAsync(async () => {
      device.upload(w, bytes(normals(15, 1)));
      const x = Tensor.from(device, normals(10, 2), [2, 5]);
      const seed = Tensor.from(device, normals(6, 3), [2, 3]);
      const backward = (weight: Tensor) => {
        const tape = new Tape();
        tape.backward(
          withTape(tape, () => linear(x, weight)),
          seed,
        );
      };
      const plain = Tensor.from(device, normals(15, 1), [3, 5]);
      plain.requires_grad = true;
      for (let micro = 0; micro < 3; micro++) {
        backward(plain);
        backward(w);
        expect(await w.grad?.data()).toEqual(await plain.grad?.data());
      }
      const place = w.newGradient();
      expect([w.grad?.storage, w.grad?.offset]).toEqual([place.storage, place.offset]);
      // The next step overwrites what the last one left there.
      for (const tensor of [w, plain]) clearGradient({ name: '', tensor });
      backward(plain);
      backward(w);
      expect(await w.grad?.data()).toEqual(await plain.grad?.data());
      clearGradient({ name: '', tensor: plain });
    });
    w.dispose();
  });
});

describe('spansOf', () => {
  test('joins neighbours with gradients in place', async () => {
    const device = await testDevice();
    const parameters = together(device, [10, 300, 256, 5]);
    const names = () => spansOf(parameters).map((span) => span.parameters.map(({ name }) => name).join());
    expect(names()).toEqual([]);
    for (const parameter of parameters) setGradient(parameter, new Float32Array(parameter.tensor.size));
    expect(names()).toEqual(['p0,p1,p2,p3']);
    expect(spansOf(parameters.toReversed())[0].gradients.size).toBe(256 + 512 + 256 + 256);
    clearGradient(parameters[1]);
    expect(names()).toEqual(['p0', 'p2,p3']);
    const [, , third] = parameters;
    clearGradient(third);
    third.tensor.grad = device.persist(Tensor.zeros(device, [256]));
    expect(names()).toEqual(['p0', 'p2', 'p3']);
    free(parameters);
  });
});

const KINDS: [string, (parameters: Parameter[]) => Optimizer][] = [
  ['AdamW', (parameters) => new AdamW(parameters)],
  ['AdamW8bit', (parameters) => new AdamW8bit(parameters)],
];
/** Below, at and above blocks and the least size of 8-bit states, small and large in turn. */
const SIZES = [5000, 100, 4096, 4097, 4095, 256, 6001];

describe.each(KINDS)('%s', (_, make) => {
  async function run(device: Device, parameters: Parameter[]) {
    const optimizer = make(parameters);
    const scaling = new GradientScaling(device);
    for (let t = 0; t < 4; t++) {
      for (const [i, parameter] of parameters.entries()) {
        // One parameter has no gradient at first, another one for a while.
        if ((i === 2 && t === 0) || (i === 5 && t > 1)) clearGradient(parameter);
        else
          setGradient(
            parameter,
            normals(SIZES[i], 10 * t + i).map((x) => 65536 * x),
          );
      }
      scaling.measure(parameters);
      optimizer.step({ lr: 1e-2, stats: scaling.stats });
      scaling.update();
    }
    const values = await Promise.all(parameters.map(({ tensor }) => tensor.data()));
    const state = await optimizer.state();
    const { grad_norm } = await scaling.read();
    const resumed = make(parameters);
    resumed.loadState(state);
    expect(await resumed.state()).toEqual(state);
    for (const part of [optimizer, resumed, scaling]) part.dispose();
    return { values, state, grad_norm };
  }

  test.each([undefined, 20_000])('gives the bits of parameters that lie apart; bindings of %s bytes', async (most) => {
    const device = most ? await limitedDevice({ maxBindingBytes: most }) : await testDevice();
    const before = device.memory.live;
    const [one, many] = [together(device, SIZES), apart(device, SIZES)];
    const [a, b] = [await run(device, one), await run(device, many)];
    expect(Math.abs(a.grad_norm / b.grad_norm - 1)).toBeLessThan(1e-6); // The order of additions is another.
    expect([a.values, a.state]).toEqual([b.values, b.state]);
    free(one);
    free(many);
    expect(device.memory.live).toBe(before);
    if (most) device.close();
  });

  test('takes a handful of dispatches, and what pads the parameters stays zero', async () => {
    const device = await testDevice();
    const sizes = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 7 * i + 1 : 4096 + 97 * i));
    const parameters = together(device, sizes);
    const optimizer = make(parameters);
    const scaling = new GradientScaling(device);
    const run = vi.spyOn(device, 'run');
    for (let t = 0; t < 3; t++) {
      for (const [i, parameter] of parameters.entries()) setGradient(parameter, normals(sizes[i], 100 * t + i));
      run.mockClear();
      scaling.measure(parameters, 1);
      optimizer.step({ lr: 1e-2, stats: scaling.stats });
      scaling.update();
      // Norm in two stages, step count, update, loss scale; 8-bit states are updated apart from f32 ones.
      expect(run).toHaveBeenCalledTimes(optimizer instanceof AdamW8bit ? 6 : 5);
    }
    run.mockRestore();
    const [{ values, gradients }] = spansOf(parameters);
    for (const flat of [values, gradients]) {
      const data = await flat.data();
      const inOrder = parameters.map(({ tensor }) => tensor).sort((a, b) => a.offset - b.offset);
      for (const [i, tensor] of inOrder.entries()) {
        const padding = data.subarray(tensor.offset + tensor.size, inOrder[i + 1]?.offset);
        expect(padding.every((x) => Object.is(x, 0))).toBe(true);
      }
    }
    for (const part of [optimizer, scaling]) part.dispose();
    free(parameters);
  });
});

test('AdamW8bit on one buffer: eight steps of bitsandbytes, all state bytes and scales', async () => {
  const device = await testDevice();
  const arrays = await readArrays('test/reference/adamw8bit.safetensors');
  const names = ['small', 'big', 'odd'];
  const tensors = masterTensors(
    device,
    names.map((name) => arrayOf(arrays, `${name}.param0`).shape),
  );
  const parameters = names.map((name, i) => ({ name, tensor: tensors[i] }));
  for (const { name, tensor } of parameters) device.upload(tensor, bytes(arrayOf(arrays, `${name}.param0`).data));
  const optimizer = new AdamW8bit(parameters, { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 });
  for (let step = 0; step < 8; step++) {
    for (const parameter of parameters) setGradient(parameter, arrayOf(arrays, `${parameter.name}.grad${step}`).data);
    optimizer.step({ lr: 1e-2 });
  }
  const state = await optimizer.state();
  expect(state.size).toBe(11);
  for (const [key, { data }] of state)
    if (key !== 'step') expect(data, key).toEqual(arrayOf(arrays, key.replace('.', '.state.')).data);
  optimizer.dispose();
  free(parameters);
});

test('a tensor that is disposed twice is an error and leaves its neighbours alone', async () => {
  const device = await testDevice();
  const [first, second] = masterTensors(device, [[3], [4]]);
  first.dispose();
  expect(() => first.dispose()).toThrow(/^tensor: released twice/);
  expect(await second.numbers()).toHaveLength(4);
  second.dispose();
});

import { beforeEach, describe, expect, test, vi } from 'vitest';
import { concat } from '../../src/autograd/ops/join.ts';
import { linear } from '../../src/autograd/ops/linear.ts';
import { lowRankLinear } from '../../src/autograd/ops/low-rank-linear.ts';
import { transpose } from '../../src/autograd/ops/reshape.ts';
import { rmsNorm, rmsNormOperation } from '../../src/autograd/ops/rms-norm.ts';
import { swiglu, swigluOperation } from '../../src/autograd/ops/swiglu.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import type { Device } from '../../src/tensor/device.ts';
import { PanelMatrix } from '../../src/tensor/panel-matrix.ts';
import type { Shape } from '../../src/tensor/shape.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';
import { takeGrad } from '../support/leaf.ts';
import { normalTensor } from '../support/normal-tensor.ts';

/** Panels without matrix units too, whose products then copy them to rows: the same numbers have to come out. */
const panels = { forced: false, made: 0 };
vi.mock('../../src/tensor/panel-matrix.ts', async (original) => {
  const actual = await original<typeof import('../../src/tensor/panel-matrix.ts')>();
  const panelsSuit = (_: Device, [rows, columns]: Shape) => {
    const suits = panels.forced && rows >= 128 && columns % 128 === 0;
    if (suits) panels.made++;
    return suits;
  };
  return { ...actual, panelsSuit };
});

const device = await testDevice();
const random = (seed: number, shape: number[], dtype: 'f32' | 'f16' = 'f32') =>
  normalTensor(device, seed, shape, dtype);

/** Runs with rows, then with panels, and holds every number against each other, to the bit. */
async function bothWays(run: () => Promise<number[][]>): Promise<void> {
  const rows = await device.scopeAsync(run);
  expect(panels.made).toBe(0);
  panels.forced = true;
  const other = await device.scopeAsync(run);
  expect(panels.made).toBeGreaterThan(0);
  expect(other).toEqual(rows);
}

/** Gradients of leaves for a seed; they are taken away again. */
async function gradientsOf(leaves: readonly Tensor[], output: () => Tensor, seed: Tensor): Promise<number[][]> {
  const tape = new Tape();
  tape.backward(withTape(tape, output), seed);
  const gradients: number[][] = [];
  for (const leaf of leaves) gradients.push(await takeGrad(leaf));
  return gradients;
}

function leaf(seed: number, shape: number[], dtype: 'f32' | 'f16' = 'f32'): Tensor {
  const tensor = random(seed, shape, dtype);
  tensor.requires_grad = true;
  return tensor;
}

beforeEach(() => {
  panels.forced = false;
  panels.made = 0;
});

describe.each([128, 133])('%i tokens', (tokens) => {
  test('a gradient in f32 is rounded to panels', async () => {
    await bothWays(async () => {
      const x = leaf(1, [tokens, 64], 'f16');
      const [down, up] = [leaf(2, [8, 64]), leaf(3, [128, 8])];
      const weight = quantizeNf4(random(4, [128, 64]));
      const run = () => lowRankLinear(x, [{ weight, down, up }], { scale: 0.5, dtype: 'f32' })[0];
      return gradientsOf([x, down, up], run, random(5, [tokens, 128]));
    });
  });

  test('gradients of several results are brought side by side in panels', async () => {
    await bothWays(async () => {
      const x = leaf(1, [tokens, 512], 'f16');
      const layers = [256, 128, 128].map((out, i) => ({
        weight: quantizeNf4(random(10 + i, [out, 512])),
        down: leaf(20 + i, [8, 512]),
        up: leaf(30 + i, [out, 8]),
      }));
      const run = () => concat(lowRankLinear(x, layers, { scale: 0.5 }), 1);
      const leaves = [x, ...layers.flatMap(({ down, up }) => [down, up])];
      return gradientsOf(leaves, run, random(2, [tokens, 512], 'f16'));
    });
  });

  test('so it is in a layer whose weight is trained', async () => {
    await bothWays(async () => {
      const [x, weight] = [leaf(1, [tokens, 64], 'f16'), leaf(2, [128, 64])];
      return gradientsOf([x, weight], () => linear(x, weight, { dtype: 'f32' }), random(3, [tokens, 128]));
    });
  });

  test('swiglu makes its result and its gradients in panels', async () => {
    await device.scopeAsync(async () => {
      const inputs = [1, 2].map((seed) => leaf(seed, [tokens, 128], 'f16'));
      const seed = random(3, [tokens, 128], 'f16');
      const [gate, up] = inputs;
      const run = (panels: boolean) => swigluOperation.forward([gate, up], { panels }, [true, true]);
      expect(run(true).output).toBeInstanceOf(PanelMatrix);
      expect(await run(true).output.data()).toEqual(await run(false).output.data());
      const backward = (panels: boolean) => gradientsOf(inputs, () => swiglu(gate, up, { panels }), seed);
      expect(await backward(true)).toEqual(await backward(false));
    });
  });
});

test.each([128, 256, 2048])('rmsNorm of width %i makes its result in panels', async (width) => {
  await device.scopeAsync(async () => {
    for (const dtype of ['f32', 'f16'] as const) {
      const inputs = [leaf(1, [133, width], dtype), leaf(2, [width])];
      const options = { eps: 0.1, dtype: 'f16' } as const;
      const run = (panels: boolean) => rmsNormOperation.forward(inputs, { ...options, panels }, [true, true]).output;
      expect(run(true)).toBeInstanceOf(PanelMatrix);
      expect(await run(true).data()).toEqual(await run(false).data());
      const [x, weight] = inputs;
      const seed = random(3, [133, width], 'f16');
      const backward = (panels: boolean) => gradientsOf(inputs, () => rmsNorm(x, weight, { ...options, panels }), seed);
      expect(await backward(true)).toEqual(await backward(false));
    }
  });
});

test('a matrix in panels is transposed like any other', async () => {
  await device.scopeAsync(async () => {
    const inputs = [leaf(1, [133, 128], 'f16'), leaf(2, [128])];
    const normed = (panels: boolean) => rmsNorm(inputs[0], inputs[1], { eps: 0.1, dtype: 'f16', panels });
    expect(await transpose(normed(true)).data()).toEqual(await transpose(normed(false)).data());
    const seed = random(3, [128, 133], 'f16');
    const backward = (panels: boolean) => gradientsOf(inputs, () => transpose(normed(panels)), seed);
    expect(await backward(true)).toEqual(await backward(false));
  });
});

test('a norm adds its gradient to one that waits in panels', async () => {
  await device.scopeAsync(async () => {
    const [x, weight] = [leaf(1, [133, 128], 'f16'), random(2, [128, 128], 'f16')];
    const [scale, up] = [random(3, [128]), random(4, [133, 128], 'f16')];
    const run = (panels: boolean) => {
      const gate = linear(x, weight);
      const normed = rmsNorm(gate, scale, { eps: 0.1, dtype: 'f16' });
      return linear(normed, weight, { residual: swiglu(gate, up, { panels }) });
    };
    const backward = (panels: boolean) => gradientsOf([x], () => run(panels), random(5, [133, 128], 'f16'));
    expect(await backward(true)).toEqual(await backward(false));
  });
});

test('results in f32 have no panels', () => {
  device.scope(() => {
    const x = random(1, [128, 128]);
    expect(() => rmsNorm(x, random(2, [128]), { eps: 0.1, panels: true })).toThrow(
      /rmsNorm: panels: got a result in f32/,
    );
    expect(() => swiglu(x, x, { panels: true })).toThrow(/swiglu: got dtype f32/);
  });
});

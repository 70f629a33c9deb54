import { describe, expect, test } from 'vitest';
import { add } from '../../src/autograd/ops/elementwise.ts';
import { lowRankLinear, lowRankLinearOperation } from '../../src/autograd/ops/low-rank-linear.ts';
import { sum } from '../../src/autograd/ops/reductions.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import { masterTensors } from '../../src/optim/parameter-arena.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, compare, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

/** tokens, in, out, rank: ones, primes, multiples of tiles and their neighbours, a rank above the widths. */
const SHAPES = [
  [1, 1, 1, 1],
  [1, 7, 5, 3],
  [3, 17, 2, 2],
  [13, 33, 31, 5],
  [64, 32, 64, 16],
  [37, 8, 16, 24],
  [2, 130, 66, 7],
];

describe.each(['f32', 'f16'] as const)('lowRankLinear %s', (dtype) => {
  test.each(SHAPES)('%i tokens, %i to %i, rank %i', async (tokens, width, out, r) => {
    const device = await testDevice();
    const x = { shape: [tokens, width], dtype };
    const thin = [{ shape: [r, width] }, { shape: [out, r] }];
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [x, { shape: [out, width], dtype }, ...thin],
      attributes: { scale: 0.7 },
      probes: 16,
    });
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [x, { shape: [out, width], nf4: true }, ...thin, { shape: [tokens, out] }],
      attributes: { scale: 1.3, dtype: 'f32' },
      probes: 16,
    });
  });

  test('matrices in half precision, without shader-f16', async () => {
    const device = await limitedDevice({ without: ['f16'] });
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [
        { shape: [5, 12], dtype },
        { shape: [9, 12], dtype: 'f16', differentiable: false },
        { shape: [4, 12], dtype: 'f16' },
        { shape: [9, 4], dtype: 'f16' },
        { shape: [5, 9], dtype },
      ],
      attributes: { scale: 2 },
    });
    device.close();
  });
});

/** Layers of one input: out, rank. */
const GROUPS: [number, number, ...[number, number][]][] = [
  [3, 5, [4, 2], [6, 3]],
  [17, 9, [8, 4], [4, 4], [4, 4]],
  [1, 2, [1, 1], [1, 1]],
  // Narrow layers beside a wide one, as keys and values beside queries: one product makes the gradient of x.
  [3, 64, [64, 8], [32, 8], [32, 8]],
];

describe.each(['f32', 'f16'] as const)('several layers of one input, %s', (dtype) => {
  const inputsOf = (tokens: number, width: number, layers: [number, number][], nf4: boolean) => [
    { shape: [tokens, width], dtype },
    ...layers.flatMap(([out, r]) => [
      { shape: [out, width], nf4, differentiable: !nf4 },
      { shape: [r, width] },
      { shape: [out, r] },
    ]),
  ];

  test.each(GROUPS)('%i tokens, %i wide, %j %j %j', async (tokens, width, ...layers) => {
    const device = await testDevice();
    const attributes = { scale: 0.7 };
    for (const nf4 of [false, true])
      await checkOp(lowRankLinearOperation, {
        device,
        inputs: inputsOf(tokens, width, layers, nf4),
        attributes,
        probes: 16,
      });
    await checkOp(lowRankLinearOperation, {
      device,
      inputs: [...inputsOf(tokens, width, layers, true), { shape: [tokens, layers[0][0]] }],
      attributes: { ...attributes, dtype: 'f32' },
      probes: 16,
    });
  });

  test.each([[0], [1], [0, 2]])('of which the loss ignores %j, %j', async (...unused) => {
    const device = await testDevice();
    const layers: [number, number][] = [
      [4, 2],
      [6, 3],
      [5, 2],
    ];
    // What the ignored layers alone depend on gets no gradient.
    const inputs = inputsOf(7, 6, layers, true).map((input, i) => {
      const ignored = i > 0 && unused.includes(Math.floor((i - 1) / 3));
      return ignored ? { ...input, differentiable: false } : input;
    });
    await checkOp(lowRankLinearOperation, { device, inputs, attributes: { scale: 2 }, unused });
  });
});

test('layers whose matrices lie together give the bits of layers one by one, over micro-batches', async () => {
  const device = await testDevice();
  const shapes = [...[2, 4, 3].map((r) => [r, 128]), ...[6, 8, 5].map((out, i) => [out, [2, 4, 3][i]])];
  const run = async (together: boolean) => {
    const masters = masterTensors(device, shapes);
    for (const [i, master] of masters.entries())
      device.upload(master, new Uint8Array(Float32Array.from(normals(master.size, i + 1)).buffer));
    const gradients: Float32Array[] = [];
    await device.scopeAsync(async () => {
      const layers = [6, 8, 5].map((out, i) => ({
        weight: Tensor.from(device, normals(out * 128, i + 20), [out, 128]),
        down: masters[i],
        up: masters[3 + i],
      }));
      for (let micro = 0; micro < 2; micro++) {
        const x = Tensor.from(device, normals(9 * 128, micro), [9, 128]);
        x.requires_grad = true;
        const tape = new Tape();
        const loss = withTape(tape, () => {
          const parts = together
            ? lowRankLinear(x, layers, { scale: 0.5 })
            : layers.flatMap((layer) => lowRankLinear(x, [layer], { scale: 0.5 }));
          return parts.map((y) => sum(y)).reduce((a, b) => add(a, b));
        });
        tape.backward(loss);
        gradients.push(await (x.grad as Tensor).data());
        x.grad?.dispose();
      }
      for (const { grad } of masters) gradients.push(await (grad as Tensor).data());
    });
    for (const master of masters) master.dispose();
    return gradients;
  };
  const [one, many] = [await run(true), await run(false)];
  // x's gradient is summed in another order.
  for (const [i, gradient] of one.slice(0, 2).entries()) compare('x', gradient, many[i], 1e-6);
  expect(one.slice(2)).toEqual(many.slice(2));
});

test('operands larger than one binding are cut', async () => {
  const device = await limitedDevice({ maxBindingBytes: 4096 });
  await checkOp(lowRankLinearOperation, {
    device,
    inputs: [{ shape: [70, 24] }, { shape: [90, 24] }, { shape: [6, 24] }, { shape: [90, 6] }, { shape: [70, 90] }],
    attributes: { scale: 1.5 },
    probes: 12,
  });
  device.close();
});

test('what the wanted gradients need is kept and nothing else', () => {
  const keeps = (needs: boolean[]) => lowRankLinearOperation.keeps(needs, { scale: 1 }).inputs;
  expect(keeps([false, false, true, true])).toEqual([0, 3]);
  expect(keeps([true, false, true, true])).toEqual([0, 1, 2, 3]);
  expect(keeps([true, false, false, false, true])).toEqual([1, 2, 3]);
  expect(keeps([false, false, true, true, false, false, true])).toEqual([0, 3]);
  expect(keeps([true, false, true, true, false, true, true])).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test('shapes that do not fit are named', async () => {
  const device = await testDevice();
  device.scope(() => {
    const zeros = (...shape: number[]) => Tensor.zeros(device, shape);
    const call = (down: Tensor, up: Tensor) => () =>
      lowRankLinear(zeros(2, 3), [{ weight: zeros(4, 3), down, up }], { scale: 1 });
    expect(call(zeros(2, 5), zeros(4, 2))).toThrow(/lowRankLinear: got A of shape \[2,5\], expected \[r, in\].*in=3/);
    expect(call(zeros(2, 3), zeros(4, 1))).toThrow(/lowRankLinear: got B of shape \[4,1\], expected \[out, r\].*r=2/);
  });
});

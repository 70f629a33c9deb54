import { describe, expect, test } from 'vitest';
import {
  type CrossEntropyOptions,
  linearCrossEntropy,
  linearCrossEntropyOperation,
  rowLosses,
} from '../../src/autograd/ops/cross-entropy.ts';
import { scale } from '../../src/autograd/ops/elementwise.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import type { Device } from '../../src/tensor/device.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, compare, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

/** Labels of which every third row has none, the last class among them. */
function someLabels(count: number, vocabulary: number, none = -100): number[] {
  return Array.from({ length: count }, (_, i) =>
    i % 3 === 1 ? none : i === 0 ? vocabulary - 1 : (i * 7919) % vocabulary,
  );
}

interface Case {
  rows: number;
  width: number;
  vocabulary: number;
  dtype?: 'f32' | 'f16';
  weightDtype?: 'f32' | 'f16';
  learn?: [boolean, boolean];
  labels?: number[];
  options?: Partial<CrossEntropyOptions>;
}

async function check(device: Device, { rows, width, vocabulary, dtype, weightDtype, learn, labels, options }: Case) {
  const list = Indices.from(device, labels ?? someLabels(rows, vocabulary, options?.ignore_index));
  await checkOp(linearCrossEntropyOperation, {
    device,
    inputs: [
      { shape: [rows, width], dtype, differentiable: learn?.[0] },
      { shape: [vocabulary, width], dtype: weightDtype ?? dtype, differentiable: learn?.[1] },
    ],
    attributes: { normalizer: 7, ignore_index: -100, ...options, labels: list },
    probes: 24,
  });
  list.tensor.dispose();
}

describe('linearCrossEntropy', () => {
  test.each(['f32', 'f16'] as const)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [rows, width, vocabulary] of [
      [1, 1, 1],
      [1, 3, 2],
      [5, 7, 11],
      [13, 16, 97],
      [9, 5, 1031],
    ])
      await check(device, { rows, width, vocabulary, dtype });
  });

  test('mixed dtypes of hidden states and head', async () => {
    const device = await testDevice();
    await check(device, { rows: 5, width: 8, vocabulary: 33, dtype: 'f16', weightDtype: 'f32' });
    await check(device, { rows: 5, width: 8, vocabulary: 33, dtype: 'f32', weightDtype: 'f16' });
  });

  test('only one side learns', async () => {
    const device = await testDevice();
    for (const dtype of ['f32', 'f16'] as const) {
      await check(device, { rows: 5, width: 8, vocabulary: 33, dtype, learn: [true, false] });
      await check(device, { rows: 5, width: 8, vocabulary: 33, dtype, learn: [false, true] });
    }
  });

  test('every row supervised, and another ignore index', async () => {
    const device = await testDevice();
    await check(device, { rows: 4, width: 8, vocabulary: 9, labels: [0, 8, 3, 3] });
    await check(device, { rows: 7, width: 8, vocabulary: 9, options: { ignore_index: 4 } });
  });

  test.each(['f32', 'f16'] as const)('vocabulary over several bindings, %s', async (dtype) => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    for (const learn of [
      [true, false],
      [true, true],
    ] as [boolean, boolean][])
      await check(device, { rows: 11, width: 17, vocabulary: 301, dtype, learn });
    device.close();
  });

  test('chunks of any size give the same numbers', async () => {
    const device = await testDevice();
    for (const chunkRows of [1, 2, 3, 5, 100])
      await check(device, { rows: 13, width: 7, vocabulary: 31, options: { chunkRows } });
  });

  test('no logits of all rows are ever in memory', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const [rows, width, vocabulary] = [512, 4, 4099];
      const hidden = Tensor.from(device, normals(rows * width), [rows, width]);
      const weight = Tensor.from(device, normals(vocabulary * width, 2), [vocabulary, width]);
      hidden.requires_grad = true;
      const labels = Indices.from(device, new Array(rows).fill(5));
      device.resetPeakMemory();
      const before = device.memory.liveBytes;
      const tape = new Tape();
      tape.backward(withTape(tape, () => linearCrossEntropy(hidden, weight, labels, { normalizer: 1, chunkRows: 16 })));
      expect(device.memory.peakBytes - before).toBeLessThan((rows * vocabulary * 4) / 8);
      hidden.grad!.dispose();
    });
  });
});

/** Loss and gradients of both inputs for one call. */
async function run(hidden: Tensor, weight: Tensor, labels: Indices, options: CrossEntropyOptions, factor = 1) {
  hidden.requires_grad = true;
  weight.requires_grad = true;
  const tape = new Tape();
  const loss = withTape(tape, () => scale(linearCrossEntropy(hidden, weight, labels, options), factor));
  tape.backward(loss);
  const result = {
    loss: await loss.item(),
    hidden: await hidden.grad!.numbers(),
    weight: await weight.grad!.numbers(),
  };
  for (const x of [hidden, weight]) {
    x.grad!.dispose();
    x.grad = null;
  }
  return result;
}

describe('edges', () => {
  test('no supervised row: loss 0, gradients 0', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const hidden = Tensor.from(device, normals(6), [3, 2]);
      const weight = Tensor.from(device, normals(8), [4, 2], 'f16');
      const { loss, ...gradients } = await run(hidden, weight, Indices.from(device, [-100, -100, -100]), {
        normalizer: 1,
      });
      expect(loss).toBe(0);
      for (const gradient of Object.values(gradients)) expect([...gradient].every((x) => x === 0)).toBe(true);
    });
  });

  test('large logits do not overflow', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      // Logits of ±30000: only differences to the largest may be raised to a power.
      const hidden = Tensor.from(device, [300, -300], [2, 1]);
      const weight = Tensor.from(device, [100, -100, 0], [3, 1]);
      const { loss, hidden: slope } = await run(hidden, weight, Indices.from(device, [0, 0]), { normalizer: 1 });
      expect(loss).toBe(60000);
      expect([...slope]).toEqual([0, -200]);
    });
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'a row with %s makes the loss and its own gradient NaN, not those of other rows',
    async (poison) => {
      const device = await testDevice();
      await device.scopeAsync(async () => {
        for (const dtype of ['f32', 'f16'] as const) {
          const values = normals(4 * 3);
          values[4] = poison;
          const hidden = Tensor.from(device, values, [4, 3], dtype);
          const weight = Tensor.from(device, normals(700 * 3, 3), [700, 3], dtype);
          const result = await run(hidden, weight, Indices.from(device, [1, 2, 3, -100]), { normalizer: 3 });
          expect(result.loss).toBeNaN();
          expect([...result.hidden.subarray(3, 6)].every(Number.isNaN)).toBe(true);
          for (const at of [0, 1, 2, 6, 7, 8]) expect(result.hidden[at]).not.toBeNaN();
          expect([...result.hidden.subarray(9)]).toEqual([0, 0, 0]);
        }
      });
    },
  );

  test('an unsupervised row with NaN disturbs nothing', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const hidden = Tensor.from(device, [1, 2, Number.NaN, 4], [2, 2]);
      const weight = Tensor.from(device, normals(10), [5, 2]);
      const { loss, hidden: slope } = await run(hidden, weight, Indices.from(device, [1, -100]), { normalizer: 1 });
      expect(loss).toBeGreaterThan(0);
      expect([...slope].every(Number.isFinite)).toBe(true);
    });
  });

  test('f16 gradients survive small probabilities: scaling the loss afterwards loses nothing', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      // Probabilities of e^-12 = 6e-6 lie among the subnormals of f16; a normalizer of 8192 would push them out.
      const width = 8;
      const vocabulary = 40;
      const hidden = Tensor.from(device, new Float32Array(width).fill(1), [1, width], 'f16');
      const rows = Array.from({ length: vocabulary * width }, (_, i) => (i < width ? 1.5 : 0) + ((i * 37) % 11) / 1024);
      const weight = Tensor.from(device, rows, [vocabulary, width], 'f16');
      const labels = Indices.from(device, [0]);
      const { weight: slope } = await run(hidden, weight, labels, { normalizer: 8192 }, 8192 * 1024);
      const wide = await run(
        Tensor.from(device, await hidden.numbers(), [1, width]),
        Tensor.from(device, await weight.numbers(), [vocabulary, width]),
        labels,
        { normalizer: 8192 },
        8192 * 1024,
      );
      for (const [i, expected] of wide.weight.entries()) compare(`gradient ${i}`, [slope[i]], [expected], 2e-3);
    });
  });

  test('the same input gives the same bits', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const hidden = Tensor.from(device, normals(50 * 16), [50, 16]);
      const weight = Tensor.from(device, normals(503 * 16, 2), [503, 16]);
      const labels = Indices.from(device, someLabels(50, 503));
      const options = { normalizer: 33, chunkRows: 8 };
      const first = await run(hidden, weight, labels, options);
      expect(await run(hidden, weight, labels, options)).toEqual(first);
    });
  });

  test('takes the dense form of a composite head', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      class Doubled extends Tensor {
        override dense(): Tensor {
          return scale(new Tensor(this.device, this.storage, this.dtype, this.shape), 2);
        }
      }
      const hidden = Tensor.from(device, normals(6), [2, 3]);
      const plain = Tensor.from(device, normals(15), [5, 3]);
      const composite = new Doubled(device, plain.storage, 'f32', plain.shape);
      const labels = Indices.from(device, [4, 0]);
      const loss = (weight: Tensor) => linearCrossEntropy(hidden, weight, labels, { normalizer: 2 }).item();
      expect(await loss(composite)).toBe(await loss(scale(plain, 2)));
    });
  });
});

test('rowLosses gives each row its loss', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const values = normals(20);
    const hidden = Tensor.from(device, values, [5, 4]);
    const table = normals(28, 2);
    const weight = Tensor.from(device, table, [7, 4]);
    const labels = [3, -100, 0, 6, -100];
    const losses = await rowLosses(hidden, weight, Indices.from(device, labels), { chunkRows: 2 }).numbers();
    const expected = labels.map((label, row) =>
      label < 0
        ? 0
        : linearCrossEntropyOperation.reference(
            [
              { shape: [1, 4], data: values.slice(row * 4, row * 4 + 4) },
              { shape: [7, 4], data: table },
            ],
            { labels: { host: [label] } as unknown as Indices, normalizer: 1, ignore_index: -100 },
          ).data[0],
    );
    compare('rowLosses', losses, expected, 1e-6);
    expect([
      ...(await rowLosses(hidden, weight, Indices.from(device, [-100, -100, -100, -100, -100])).numbers()),
    ]).toEqual([0, 0, 0, 0, 0]);
  });
});

test('refuses labels, shapes and normalizers that do not fit', async () => {
  const device = await testDevice();
  device.scope(() => {
    const hidden = Tensor.zeros(device, [3, 4]);
    const weight = Tensor.zeros(device, [5, 4]);
    const of = (labels: number[], normalizer = 1) =>
      linearCrossEntropy(hidden, weight, Indices.from(device, labels), { normalizer });
    expect(() => of([0, 5, 1])).toThrow(
      /^linearCrossEntropy: got label 5 at row 1, expected 0 to 4, or -100 for none; /,
    );
    expect(() => of([0, -1, 1])).toThrow(/got label -1 at row 1/);
    expect(() => of([0, 1])).toThrow(/got 2 labels, expected 3/);
    expect(() => of([0, 1, 2], 0)).toThrow(/normalizer 0/);
    expect(() => of([0, 1, 2], Number.NaN)).toThrow(/normalizer NaN/);
    const labels = Indices.from(device, [0, 1, 2]);
    expect(() => linearCrossEntropy(hidden, Tensor.zeros(device, [5, 3]), labels, { normalizer: 1 })).toThrow(
      /weight of shape \[5,3\].*H=4/,
    );
    expect(() => linearCrossEntropy(hidden, weight, labels, { normalizer: 1, chunkRows: 0 })).toThrow(/chunkRows 0/);
  });
});

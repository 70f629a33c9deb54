import { describe, expect, test } from 'vitest';
import { embedding, embeddingOperation } from '../../src/autograd/ops/embedding.ts';
import { sum } from '../../src/autograd/ops/reductions.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { Tape } from '../../src/autograd/tape.ts';
import type { Device } from '../../src/tensor/device.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { checkOp, normals } from '../support/check-op.ts';
import { limitedDevice, testDevice } from '../support/device.ts';

/** Ids with many repetitions, the first and last rows among them. */
const someIds = (count: number, vocabulary: number) =>
  Array.from({ length: count }, (_, i) => (i === 0 ? vocabulary - 1 : (i * i * 7919) % vocabulary));

async function check(device: Device, vocabulary: number, width: number, count: number, dtype: 'f32' | 'f16') {
  const ids = Indices.from(device, someIds(count, vocabulary));
  for (const out of ['f32', 'f16'] as const)
    await checkOp(embeddingOperation, {
      device,
      inputs: [{ shape: [vocabulary, width], dtype }],
      attributes: { ids, dtype: out },
      // A result stored as f16 counts as f16 work even when the table is f32.
      slack: dtype === 'f32' && out === 'f16' ? 200 : 1,
    });
  ids.tensor.dispose();
}

describe('embedding', () => {
  test.each(['f32', 'f16'] as const)('%s', async (dtype) => {
    const device = await testDevice();
    for (const [vocabulary, width, count] of [
      [1, 1, 1],
      [2, 3, 5],
      [7, 5, 1],
      [31, 17, 64],
      [19, 12, 9],
      [97, 64, 13],
    ])
      await check(device, vocabulary, width, count, dtype);
  });

  test.each(['f32', 'f16'] as const)('tables and gradients larger than one binding, %s', async (dtype) => {
    const device = await limitedDevice({ maxBindingBytes: 4096 });
    await check(device, 131, 33, 7, dtype);
    await check(device, 40, 31, 90, dtype);
    device.close();
  });

  test('untouched rows get a gradient of zero, and repetitions the same bits every time', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const weight = Tensor.from(device, normals(50 * 8), [50, 8]);
      const factors = Tensor.from(device, normals(200 * 8, 5), [200, 8]);
      weight.requires_grad = true;
      const ids = Indices.from(
        device,
        Array.from({ length: 200 }, (_, i) => (i * i) % 7),
      );
      const run = async () => {
        const { mul } = await import('../../src/autograd/ops/elementwise.ts');
        const tape = new Tape();
        tape.backward(withTape(tape, () => sum(mul(embedding(weight, ids), factors))));
        const gradient = await weight.grad!.numbers();
        weight.grad!.dispose();
        weight.grad = null;
        return gradient;
      };
      const first = await run();
      const touched = new Set(ids.host);
      for (let row = 0; row < 50; row++)
        expect(first.subarray(row * 8, row * 8 + 8).some((x) => x !== 0)).toBe(touched.has(row));
      expect(await run()).toEqual(first);
    });
  });

  test('no ids give no rows', async () => {
    const device = await testDevice();
    await device.scopeAsync(async () => {
      const y = embedding(Tensor.zeros(device, [3, 4]), Indices.from(device, []));
      expect(y.shape).toEqual([0, 4]);
      expect(await y.numbers()).toHaveLength(0);
    });
  });

  test('names the id that the table lacks', async () => {
    const device = await testDevice();
    device.scope(() => {
      const weight = Tensor.zeros(device, [5, 4]);
      const look = (...ids: number[]) => embedding(weight, Indices.from(device, ids));
      expect(() => look(0, 4, 5)).toThrow(/^embedding: got id 5 at index 2, expected ids from 0 to 4; /);
      expect(() => look(-1)).toThrow(/got id -1 at index 0/);
      expect(() => embedding(Tensor.zeros(device, [5]), Indices.from(device, [0]))).toThrow(/^embedding: got weight/);
    });
  });
});

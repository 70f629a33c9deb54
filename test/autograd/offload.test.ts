import { beforeEach, describe, expect, test } from 'vitest';
import { checkpoint } from '../../src/autograd/checkpoint.ts';
import { add, mul, silu, square } from '../../src/autograd/ops/elementwise.ts';
import { sum } from '../../src/autograd/ops/reductions.ts';
import { withTape } from '../../src/autograd/recording.ts';
import { type Checkpointing, Tape } from '../../src/autograd/tape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { leafOn, takeGrad } from '../support/leaf.ts';

const device = await testDevice();

let before = 0;
beforeEach(() => {
  before = device.memory.live;
  return () => {
    expect(device.memory.live, 'live buffers').toBe(before);
    expect(device.hostMemory.live, 'live buffers in host memory').toBe(0);
    expect(device.scopes.depth).toBe(0);
  };
});

const leaf = (values: ArrayLike<number>, shape?: number[], dtype?: 'f32' | 'f16') =>
  leafOn(device, values, shape, dtype);

/** Residual layers, each a segment; like a model they drop what goes into a layer. */
function layers(x: Tensor, weights: readonly Tensor[]): Tensor {
  let h = mul(x, x);
  for (const w of weights) {
    const next = checkpoint((inner) => add(inner, silu(mul(square(inner), w))), h);
    device.drop(h);
    h = next;
  }
  return sum(h);
}

describe('offload', () => {
  test('gives the bits of none, with one checkpoint on the device instead of all', () =>
    device.scopeAsync(async () => {
      const shape = [33, 257];
      const x = leaf(
        normals(33 * 257).map((v) => v / 4),
        shape,
      );
      const weights = Array.from({ length: 8 }, (_, i) => leaf(normals(257, i + 2), [257]));
      const results: Record<string, { kept: number; host: number; bits: number[] }> = {};
      for (const mode of ['none', 'full', 'offload'] as Checkpointing[]) {
        await device.scopeAsync(async () => {
          const start = device.memory.liveBytes;
          const tape = new Tape(mode);
          const loss = withTape(tape, () => device.scope(() => layers(x, weights)));
          const kept = device.memory.liveBytes - start;
          const host = device.hostMemory.liveBytes;
          await tape.arrival();
          tape.backward(loss);
          const bits = [await loss.item()];
          for (const parameter of [x, ...weights]) bits.push(...(await takeGrad(parameter)));
          results[mode] = { kept, host, bits };
        });
      }
      const bytes = 33 * 257 * 4;
      const { none, full, offload } = results;
      expect(full.bits).toEqual(none.bits);
      expect(offload.bits).toEqual(none.bits);
      expect(none.bits.every(Number.isFinite)).toBe(true);
      expect(full.kept).toBeGreaterThan(8 * bytes);
      expect(offload.kept).toBeLessThan(bytes);
      expect(offload.host).toBeGreaterThanOrEqual(8 * bytes);
      expect(full.host).toBe(0);
    }));

  test('makes no buffer in host memory after the first time', () =>
    device.scopeAsync(async () => {
      const [x, w] = [leaf(normals(1000)), leaf(normals(1000))];
      const made: number[] = [];
      for (let i = 0; i < 3; i++)
        await device.scopeAsync(async () => {
          const tape = new Tape('offload');
          const loss = withTape(tape, () => layers(x, [w, w]));
          await tape.arrival();
          tape.backward(loss);
          made.push(device.hostMemory.created);
          for (const parameter of [x, w]) await takeGrad(parameter);
        });
      expect(made[1]).toBe(made[0]);
      expect(made[2]).toBe(made[0]);
    }));

  test('takes views, f16 and sizes that fill no word', () =>
    device.scopeAsync(async () => {
      const bits: Record<string, number[]> = {};
      for (const mode of ['none', 'offload'] as Checkpointing[]) {
        const x = Tensor.from(device, normals(15), [3, 5], 'f16');
        x.requires_grad = true;
        const [w, frozen] = [leaf(normals(15), [5, 3]), Tensor.from(device, normals(15, 2), [3, 5], 'f16')];
        const tape = new Tape(mode);
        const loss = withTape(tape, () =>
          add(
            sum(checkpoint((h) => square(h), square(x))),
            sum(checkpoint((h) => mul(square(h), w), frozen.transpose())),
          ),
        );
        await tape.arrival();
        tape.backward(loss);
        bits[mode] = [...(await takeGrad(x)), ...(await takeGrad(w))];
      }
      expect(bits.offload).toEqual(bits.none);
    }));

  test('a backward pass that does not wait is refused and lets go of everything', () =>
    device.scopeAsync(async () => {
      const [x, w] = [leaf([1, 2]), leaf([3, 4])];
      const tape = new Tape('offload');
      const loss = withTape(tape, () => layers(x, [w]));
      expect(() => tape.backward(loss)).toThrow(/^Tape.backward: .*await arrival/);
      tape.release();
      expect(x.grad).toBeNull();
      // Also when it has arrived.
      const second = new Tape('offload');
      withTape(second, () => layers(x, [w]));
      await second.arrival();
      second.release();
    }));
});

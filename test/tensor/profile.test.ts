import { expect, test } from 'vitest';
import { addInto, mapUnary } from '../../src/tensor/elementwise.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();

test('every command is timed, in order and with what tells it apart, and does its work', async () => {
  await device.scopeAsync(async () => {
    const x = Tensor.from(
      device,
      Float32Array.from({ length: 70_000 }, () => 2),
    );
    const [copied, cleared] = [Tensor.from(device, new Float32Array(70_000)), Tensor.from(device, [5, 5, 5, 5])];
    let product = x;
    const timed = await device.profile(() => {
      product = mapUnary('a * alpha', x, 3);
      device.copy(product, copied);
      device.zero(cleared);
    });
    expect(timed.map(({ label }) => label)).toEqual([expect.stringMatching(/^elementwise.*:unary$/), 'copy', 'clear']);
    expect(timed[0]).toMatchObject({ params: { count: 70_000, alpha: 3 }, defines: { EXPR: 'a * alpha' } });
    expect(timed[1].params).toEqual({ bytes: 280_000 });
    for (const { nanoseconds } of timed) {
      expect(nanoseconds).toBeGreaterThan(0);
      expect(nanoseconds).toBeLessThan(1e9);
    }
    expect((await copied.numbers()).every((value) => value === 6)).toBe(true);
    expect([...(await cleared.numbers())]).toEqual([0, 0, 0, 0]);
  });
});

test('more commands than a set of timestamps holds, and waits between them', async () => {
  await device.scopeAsync(async () => {
    const [total, one, other] = [0, 1, 0].map((value) => Tensor.from(device, new Float32Array(8).fill(value)));
    const timed = await device.profile(async () => {
      for (let i = 0; i < 1300; i++) {
        addInto(total, one);
        device.copy(total, other);
        if (i === 700) await device.finish();
      }
    });
    expect(timed).toHaveLength(2600);
    expect(timed.map(({ label }) => label === 'copy').indexOf(true)).toBe(1);
    expect([...(await other.numbers())]).toEqual(new Array(8).fill(1300));
  });
});

test('a large kernel takes longer than a small one, and nothing is timed afterwards', async () => {
  await device.scopeAsync(async () => {
    const [large, small] = [4e6, 16].map((size) => Tensor.zeros(device, [size]));
    mapUnary('a * alpha', large, 2);
    const [first, second] = await device.profile(() => {
      mapUnary('a * alpha', large, 2);
      mapUnary('a * alpha', small, 2);
    });
    expect(first.nanoseconds).toBeGreaterThan(second.nanoseconds);
    expect(await device.profile(() => {})).toEqual([]);
  });
});

test('work and waits are counted', async () => {
  await device.scopeAsync(async () => {
    const x = Tensor.from(device, [1, 2]);
    const before = device.work;
    const y = mapUnary('a * alpha', x, 2);
    device.zero(x);
    const after = device.work;
    expect(after).toEqual({ ...before, dispatches: before.dispatches + 1, copies: before.copies + 1 });
    await y.numbers();
    expect(device.work).toMatchObject({ waits: before.waits + 1, submits: before.submits + 1 });
  });
});

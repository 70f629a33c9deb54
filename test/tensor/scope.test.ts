import { describe, expect, test } from 'vitest';
import { mapUnary } from '../../src/tensor/elementwise.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const live = () => device.memory.live;
const make = () => Tensor.zeros(device, [4]);

describe('scope', () => {
  test('frees what is made in it and keeps what it returns', () => {
    const before = live();
    device.scope(() => {
      make();
      const kept = device.scope(() => {
        make();
        return make();
      });
      expect(live()).toBe(before + 2);
      expect(kept.storage.freed).toBe(false);
    });
    expect(live()).toBe(before);
  });

  test('keeps tensors in arrays, maps, plain objects and indices, also views of them', () => {
    const before = live();
    device.scope(() => {
      const { list, map, ids } = device.scope(() => ({
        list: [make().slice(0, 1, 3), { deep: make() }],
        map: new Map([['x', make()]]),
        ids: Indices.from(device, [1, 2]),
      }));
      expect(live()).toBe(before + 4);
      for (const x of [list[0] as Tensor, (list[1] as { deep: Tensor }).deep, map.get('x')!, ids.tensor])
        expect(x.storage.freed).toBe(false);
    });
    expect(live()).toBe(before);
  });

  test('frees everything when it throws, at any depth', () => {
    const before = live();
    expect(() =>
      device.scope(() => {
        make();
        device.scope(() => {
          make();
          throw new Error('inside');
        });
      }),
    ).toThrow('inside');
    expect(live()).toBe(before);
    expect(device.scopes.depth).toBe(0);
  });

  test('returned from the outermost scope a tensor belongs to the caller', () => {
    const before = live();
    const x = device.scope(make);
    expect(live()).toBe(before + 1);
    x.dispose();
    expect(live()).toBe(before);
  });

  test('persist takes a tensor out, from any depth', () => {
    const before = live();
    let kept: Tensor | undefined;
    device.scope(() => {
      const x = make();
      device.scope(() => {
        kept = device.persist(x);
      });
    });
    expect(kept!.storage.freed).toBe(false);
    kept!.dispose();
    expect(live()).toBe(before);
  });

  test('persist takes out every storage of a composite tensor', () => {
    class Pair extends Tensor {
      second = make();
      override storages() {
        return [this.storage, this.second.storage];
      }
    }
    const before = live();
    const pair = device.scope(() => device.persist(new Pair(device, make().storage, 'f32', [4])));
    expect(live()).toBe(before + 2);
    pair.dispose();
    expect(live()).toBe(before);
  });

  test('asynchronous scopes free after their work, also when it fails', async () => {
    const before = live();
    const x = await device.scopeAsync(async () => {
      make();
      await new Promise((resolve) => setTimeout(resolve, 1));
      return make();
    });
    expect(live()).toBe(before + 1);
    x.dispose();
    await expect(
      device.scopeAsync(async () => {
        make();
        await Promise.resolve();
        throw new Error('later');
      }),
    ).rejects.toThrow('later');
    expect(live()).toBe(before);
  });

  test('scopes that do not nest are refused', async () => {
    let end = () => {};
    const outer = device.scopeAsync(() => new Promise<void>((resolve) => (end = resolve)));
    let endInner = () => {};
    const inner = device.scopeAsync(() => new Promise<void>((resolve) => (endInner = resolve)));
    end();
    await expect(outer).rejects.toThrow(/^scope: closed out of order/);
    endInner();
    await expect(inner).rejects.toThrow(/^scope: closed out of order/);
    expect(device.scopes.depth).toBe(0);
  });

  test('reading a tensor opens no scope over the wait', async () => {
    const before = live();
    const [a, b] = [Tensor.from(device, [1, 2]), Tensor.from(device, [3, 4, 5])];
    const [first, second] = [a.numbers(), b.slice(0, 1, 3).numbers()];
    const made = make(); // Must not be adopted by either read.
    expect([...(await second), ...(await first)]).toEqual([4, 5, 1, 2]);
    expect(made.storage.freed).toBe(false);
    for (const x of [a, b, made]) x.dispose();
    expect(live()).toBe(before);
  });
});

describe('a freed tensor', () => {
  test('cannot be used, retained or disposed again', async () => {
    let x = make();
    x.dispose();
    expect(() => mapUnary('a', x)).toThrow(/^tensor: used after its scope ended; return it from the scope or persist/);
    expect(() => x.dispose()).toThrow(/^tensor: released twice/);
    expect(() => x.storage.retain()).toThrow(/^tensor: retained after its scope ended/);
    await expect(x.data()).rejects.toThrow(/used after its scope ended/);
    device.scope(() => {
      x = make();
    });
    expect(() => x.storage.buffer).toThrow(/used after its scope ended/);
  });

  test('its buffer serves again only in order: pending work keeps its result', async () => {
    await device.scopeAsync(async () => {
      const results = Array.from({ length: 20 }, (_, i) =>
        device.scope(() => mapUnary('a + 1.0', mapUnary('a * 2.0', Tensor.from(device, new Float32Array(64).fill(i))))),
      );
      for (const [i, y] of results.entries()) expect([...(await y.numbers())]).toEqual(new Array(64).fill(2 * i + 1));
    });
  });
});

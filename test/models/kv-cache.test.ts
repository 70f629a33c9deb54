import { expect, test } from 'vitest';
import { KvCache } from '../../src/models/kv-cache.ts';
import { fromHalf, toHalf } from '../../src/tensor/half.ts';
import { Indices } from '../../src/tensor/indices.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { limitedDevice } from '../support/device.ts';

test.each(['f32', 'f16'] as const)('a cache larger than one binding, %s', async (dtype) => {
  const device = await limitedDevice({ maxBindingBytes: 4096 });
  const [sequences, capacity, heads, headSize] = [3, 41, 2, 15];
  const width = heads * headSize;
  const cache = new KvCache(device, { sequences, capacity, layers: 2, heads, headSize, dtype });
  const expected = { keys: new Float32Array(sequences * capacity * width), values: new Float32Array(0) };
  expected.values = expected.keys.slice();
  for (const [seed, counts] of [
    [40, 1, 17],
    [0, 38, 24],
    [1, 0, 0],
  ].entries()) {
    const rows = cache.nextRows(counts);
    // As long as two bindings, so that the source is cut as well.
    const made = (s: number) => normals(rows.length * width, s);
    const [keys, values] = [made(2 * seed + 1), made(2 * seed + 2)];
    await device.scopeAsync(async () => {
      const of = (data: Float64Array) => Tensor.from(device, data, [rows.length, heads, headSize], dtype);
      const written = cache.write(1, of(keys), of(values), Indices.from(device, rows));
      for (const [name, source] of [['keys', keys] as const, ['values', values] as const]) {
        const rounded = dtype === 'f16' ? fromHalf(toHalf(source)) : Float32Array.from(source);
        for (const [i, row] of rows.entries())
          expected[name].set(rounded.subarray(i * width, i * width + width), row * width);
        expect(await written[name].numbers()).toEqual(expected[name]);
      }
    });
    cache.advance(counts);
  }
  expect(cache.lengths).toEqual([41, 39, 41]);
  cache.dispose();
  device.close();
});

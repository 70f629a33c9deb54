import { expect, test } from 'vitest';
import { dynamicMap } from '../../src/quant/dynamic-map.ts';
import { bisectCode, codeLimits } from '../../src/quant/nearest-code.ts';
import { readArrays } from '../../src/reference/files.ts';

test('the dynamic maps are those of bitsandbytes', async () => {
  const arrays = await readArrays('test/reference/adamw8bit.safetensors');
  expect([...dynamicMap(true)]).toEqual([...(arrays.get('big.state.qmap1')?.data ?? [])]);
  expect([...dynamicMap(false)]).toEqual([...(arrays.get('big.state.qmap2')?.data ?? [])]);
});

test.each([
  ['signed, outer value -1', true, -1],
  ['signed, outer value of the map', true, null],
  ['unsigned', false, 0],
] as const)('limits reproduce the search: %s', (_, signed, lowest) => {
  const map = dynamicMap(signed);
  const limits = codeLimits(map, lowest);
  const fromLimits = (x: number) => {
    let code = 0;
    while (code < 255 && x >= limits[code + 1]) code++;
    return code;
  };
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  const neighbours = (x: number) =>
    [-1, 0, 1].map((step) => {
      float[0] = x;
      bits[0] += step;
      return float[0];
    });
  const probes = [...limits.slice(1), ...map].flatMap(neighbours).concat(0, -0, 1e-30, -1e-30);
  for (let i = 0; i < 4000; i++) probes.push(Math.fround(Math.sin(i * 1.7) * 10 ** -(i % 9)));
  for (const x of probes.filter((x) => Math.abs(x) <= 1))
    expect(fromLimits(x), `${x}`).toBe(bisectCode(map, x, lowest));
});

test('every code is the nearest value, in double precision', () => {
  const map = dynamicMap(true);
  for (let i = -5000; i <= 5000; i++) {
    const x = Math.fround(i / 5000);
    const best = Math.min(...[...map].map((value) => Math.abs(value - x)));
    expect(Math.abs(map[bisectCode(map, x, null)] - x)).toBeLessThanOrEqual(best + 1e-7);
  }
});

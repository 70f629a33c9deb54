import { afterAll, beforeAll, expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { SafetensorsFile } from '../../src/formats/safetensors.ts';
import { nf4FromBnb, nf4ToBnb } from '../../src/quant/bnb-checkpoint.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../support/device.ts';

const STATE = '.quant_state.bitsandbytes__nf4';
let quantized: SafetensorsFile;
let plain: SafetensorsFile;
beforeAll(async () => {
  quantized = await SafetensorsFile.open('test/reference/llama-tiny-bnb-4bit/model.safetensors');
  plain = await SafetensorsFile.open('test/reference/llama-tiny/model.safetensors');
});
afterAll(async () => {
  await quantized.close();
  await plain.close();
});

async function partsOf(name: string): Promise<Map<string, Uint8Array>> {
  const parts = new Map<string, Uint8Array>();
  for (const key of quantized.entries.keys())
    if (key === name || key.startsWith(`${name}.`)) parts.set(key.slice(name.length), await quantized.bytes(key));
  return parts;
}

const names = () =>
  [...quantized.entries.keys()].filter((key) => key.endsWith(STATE)).map((key) => key.slice(0, -STATE.length));

test('loading and saving gives the same parts, dtypes and shapes', async () => {
  const device = await testDevice();
  expect(names().length).toBe(21);
  for (const name of names())
    await device.scopeAsync(async () => {
      const parts = await partsOf(name);
      const weight = nf4FromBnb(device, name, plain.entries.get(name)?.shape ?? [], parts);
      const saved = await nf4ToBnb(weight);
      expect([...saved.keys()].toSorted()).toEqual([...parts.keys()].toSorted());
      for (const [suffix, { dtype, shape, bytes }] of saved) {
        const entry = quantized.entries.get(name + suffix);
        expect({ dtype, shape }, suffix).toEqual({ dtype: entry?.dtype, shape: entry?.shape });
        expect(Buffer.compare(bytes, parts.get(suffix) ?? new Uint8Array()), name + suffix).toBe(0);
      }
    });
});

test('quantising the original weights gives the checkpoint that transformers saved, byte for byte', async () => {
  const device = await testDevice();
  for (const name of names())
    await device.scopeAsync(async () => {
      const bytes = await plain.bytes(name);
      const shape = plain.entries.get(name)?.shape ?? [];
      const saved = await nf4ToBnb(quantizeNf4(Tensor.from(device, new Float32Array(bytes.buffer), shape)));
      for (const [suffix, part] of await partsOf(name))
        expect(Buffer.compare(saved.get(suffix)?.bytes ?? new Uint8Array(), part), name + suffix).toBe(0);
    });
});

test('plain scales go through as well', async () => {
  const device = await testDevice();
  await device.scopeAsync(async () => {
    const weight = quantizeNf4(
      Tensor.from(
        device,
        Float32Array.from({ length: 130 }, (_, i) => Math.sin(i)),
      ),
      {
        doubleQuant: false,
      },
    );
    const saved = await nf4ToBnb(weight);
    expect([...saved.keys()]).toEqual(['', '.absmax', '.quant_map', STATE]);
    const bytes = new Map([...saved].map(([suffix, part]) => [suffix, part.bytes]));
    expect(await nf4FromBnb(device, 'w', [130], bytes).numbers()).toEqual(await weight.numbers());
  });
});

test('damaged checkpoints are refused by the part that is wrong', async () => {
  const device = await testDevice();
  const name = names()[0];
  const shape = plain.entries.get(name)?.shape ?? [];
  const good = await partsOf(name);
  const json = (text: string) => new TextEncoder().encode(text);
  const state = new TextDecoder().decode(good.get(STATE));
  const damages: [string, Uint8Array | null, RegExp][] = [
    ['.absmax', null, /\.absmax: got nothing/],
    ['.absmax', new Uint8Array(3), /got 3 bytes, expected 640 bytes/],
    ['', new Uint8Array(8), /got 8 bytes/],
    ['.nested_absmax', null, /nested_absmax/],
    ['.nested_quant_map', new Uint8Array(4), /1024 bytes/],
    ['.quant_map', new Uint8Array(64), /16 values of nf4/],
    [STATE, null, /nothing/],
    [STATE, json('{'), /no JSON/],
    [STATE, json(state.replace('nf4', 'fp4')), /quant_type fp4/],
    [STATE, json(state.replace('"blocksize": 64', '"blocksize": 65')), /blocksize 65/],
    [STATE, json(state.replace('[', '[1, ')), /expected \[128,320\]/],
    [STATE, json(state.replace('"dtype": "float32"', '"dtype": "float8"')), /float8/],
  ];
  const before = device.memory.live;
  for (const [suffix, bytes, message] of damages) {
    const parts = new Map(good);
    if (bytes) parts.set(suffix, bytes);
    else parts.delete(suffix);
    const load = () => nf4FromBnb(device, name, shape, parts);
    expect(load).toThrow(message);
    expect(load).toThrow(UserError);
  }
  expect(device.memory.live).toBe(before);
});

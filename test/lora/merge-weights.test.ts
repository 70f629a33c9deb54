import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { Checkpoint } from '../../src/formats/checkpoint.ts';
import { readAdapter, type SavedAdapter } from '../../src/formats/peft.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { mergeWeights } from '../../src/lora/merge-weights.ts';
import { loadLlama } from '../../src/models/load.ts';
import { openWeights } from '../../src/models/open-weights.ts';
import { mergedWeights } from '../../src/models/save.ts';
import { floatsOf } from '../../src/models/weight-rows.ts';
import { testDevice } from '../support/device.ts';

const REFERENCE = 'test/reference';
const noDevice = () => Promise.reject(new Error('a device was asked for'));
const openReference = (name: string) => openWeights(path.join(REFERENCE, name));

describe('weights of a checkpoint, merged one at a time, equal those of a merged model', () => {
  test.each([
    ['llama-tiny', 'peft-lora', false],
    ['llama-tiny', 'peft-rank-pattern', false],
    ['llama-tiny', 'peft-modules-to-save', false],
    ['llama-tiny-bnb-4bit', 'qlora/adapter', false],
    ['llama-tiny', 'qlora/adapter', true],
    ['llama-tiny-bnb-4bit', null, false],
  ])('%s with %s, 4 bit: %s', async (base, adapterDir, load_in_4bit) => {
    const device = await testDevice();
    const adapter = adapterDir ? await readAdapter(path.join(REFERENCE, adapterDir)) : null;
    const model = await loadLlama(device, path.join(REFERENCE, base), { precision: 'f32', load_in_4bit });
    if (adapter) attachAdapters(model, adapter.config, { saved: adapter.tensors });
    const source = await openReference(base);
    const open = adapter || load_in_4bit ? async () => device : noDevice;
    const merged = mergeWeights(source, { device: open, adapter, load_in_4bit });
    const expected = new Map(mergedWeights(model).map((weight) => [weight.name, weight]));
    expect(merged.map(({ name }) => name).sort()).toEqual([...expected.keys()].sort());
    for (const weight of merged) {
      const other = expected.get(weight.name)!;
      expect(weight.shape).toEqual(other.shape);
      const [got, want] = [await floatsOf(weight), await floatsOf(other)];
      const different = got.findIndex((value, i) => !Object.is(value, want[i]));
      expect(different, weight.name).toBe(-1);
    }
    await source.close();
    model.dispose();
  });
});

test('without an adapter no device is needed, and weights keep their dtype and bits', async () => {
  const source = await openWeights('models/tiny');
  const checkpoint = await Checkpoint.open('models/tiny');
  const weights = mergeWeights(source, { device: noDevice, adapter: null, load_in_4bit: false });
  for (const { name, dtype, rows, shape } of weights) {
    expect(dtype).toBe(checkpoint.entry(name).dtype);
    const got = await rows(0, shape.length === 1 ? 1 : shape[0]);
    expect(Buffer.from(got).equals(await checkpoint.bytes(name)), name).toBe(true);
  }
  await checkpoint.close();
  await source.close();
});

test('an adapted weight is W + scaling · B · A', async () => {
  const adapter = await readAdapter(path.join(REFERENCE, 'peft-lora'));
  const source = await openReference('llama-tiny');
  const device = await testDevice();
  const name = 'model.layers.0.self_attn.q_proj';
  const weight = mergeWeights(source, { device: async () => device, adapter, load_in_4bit: false }).find(
    (each) => each.name === `${name}.weight`,
  )!;
  const base = await source.floats(weight.name, weight.shape);
  const [A, B] = ['A', 'B'].map((m) => adapter.tensors.get(`base_model.model.${name}.lora_${m}.weight`)!);
  const { r, lora_alpha: alpha } = adapter.config;
  const [, width] = weight.shape;
  const got = await floatsOf(weight);
  let changed = 0;
  for (let i = 0; i < got.length; i++) {
    const [row, column] = [Math.floor(i / width), i % width];
    let product = 0;
    for (let k = 0; k < r; k++) product += B[row * r + k] * A[k * width + column];
    const expected = base[i] + (alpha / r) * product;
    expect(Math.abs(got[i] - expected)).toBeLessThan(1e-6);
    if (got[i] !== base[i]) changed++;
  }
  expect(changed).toBeGreaterThan(got.length / 2);
  await source.close();
});

describe('adapters of other models are refused before anything is written', () => {
  test.each<[string, (tensors: Map<string, Float32Array>) => void]>([
    ['a missing matrix', (tensors) => tensors.delete([...tensors.keys()][0])],
    ['one too many', (tensors) => tensors.set('base_model.model.x.lora_A.weight', new Float32Array(4))],
    ['a head of another vocabulary', (tensors) => tensors.set('base_model.model.lm_head.weight', new Float32Array(4))],
  ])('%s', async (_, spoil) => {
    const adapter: SavedAdapter = await readAdapter(path.join(REFERENCE, 'peft-modules-to-save'));
    spoil(adapter.tensors);
    const source = await openReference('llama-tiny');
    expect(() => mergeWeights(source, { device: noDevice, adapter, load_in_4bit: false })).toThrow(UserError);
    await source.close();
  });
});

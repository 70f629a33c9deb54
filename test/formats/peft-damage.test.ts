import { renameSync, rmSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { readAdapter } from '../../src/formats/peft.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { loadLlama } from '../../src/models/load.ts';
import { testDevice } from '../support/device.ts';
import { copyOf, editHeader, editJson, type Json, set } from '../support/model-files.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const A_KEY = /lora_A\.weight$/;

const config = (edit: (json: Json) => unknown) => (dir: string) => editJson(path.join(dir, CONFIG), edit);
const header = (edit: (json: Json) => void) => (dir: string) =>
  editHeader(path.join(dir, WEIGHTS), (json) => void edit(json));
const firstA = (json: Json) => Object.keys(json).find((name) => A_KEY.test(name)) as string;

test.each<[string, (dir: string) => void, RegExp]>([
  ['of type IA3', config(set(['peft_type'], 'IA3')), /peft_type: got IA3, expected LORA/],
  ['with DoRA', config(set(['use_dora'], true)), /use_dora = true is not supported/],
  ['with trained biases', config(set(['bias'], 'all')), /bias = "all" is not supported/],
  ['that started from PiSSA', config(set(['init_lora_weights'], 'pissa')), /"pissa" belongs to an altered base/],
  ['with a field of tomorrow', config(set(['new_thing'], { a: 1 })), /new_thing = \{"a":1\} is not known/],
  ['of rank 0', config(set(['r'], 0)), /r: Too small/],
  ['of a rank that is text', config(set(['r'], '8')), /r: Invalid input/],
  ['of another rank', config(set(['r'], 4)), /shape \[8,\d+\], expected \[4, in\] for the rank 4/],
  ['of no number as alpha', config(set(['lora_alpha'], null)), /lora_alpha: Invalid/],
  ['for no regular expression', config(set(['target_modules'], '*(')), /the pattern "\*\(", expected a regular/],
  ['with a rank for no pattern', config(set(['rank_pattern'], { '*(': 3 })), /the pattern "\*\("/],
  ['without a configuration', (d) => rmSync(path.join(d, CONFIG)), /adapter_config.json: missing/],
  ['with a configuration cut', (d) => truncateSync(path.join(d, CONFIG), 40), /adapter_config.json: is no JSON/],
  ['with an empty configuration', config(() => null), /content: Invalid input/],
  ['without weights', (d) => rmSync(path.join(d, WEIGHTS)), /adapter_model.safetensors: missing/],
  ['saved as .bin', (d) => renameSync(path.join(d, WEIGHTS), path.join(d, 'adapter_model.bin')), /in safetensors/],
  ['with weights cut', (d) => truncateSync(path.join(d, WEIGHTS), 4000), /adapter_model.safetensors: /],
  ['with matrices turned', header((h) => void h[firstA(h)].shape.reverse()), /lora_A.weight: got shape \[\d+,8\]/],
  ['with whole numbers', header((h) => set([firstA(h), 'dtype'], 'I32')(h)), /safetensors: tensor .* has dtype I32/],
])('an adapter %s is refused with its file', async (_, damage, message) => {
  const dir = copyOf('test/reference/peft-lora');
  damage(dir);
  const error = await readAdapter(dir).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toMatch(message);
  expect(error.message).toContain(dir);
});

describe('an adapter and a model that do not fit', async () => {
  const device = await testDevice();
  const attach = async (base: string, damage: (dir: string) => void) => {
    const dir = copyOf('test/reference/peft-lora');
    damage(dir);
    const model = await loadLlama(device, base, { precision: 'f32' });
    try {
      const { config, tensors } = await readAdapter(dir);
      attachAdapters(model, config, { saved: tensors });
    } finally {
      model.dispose();
    }
  };

  test.each<[string, string, (dir: string) => void, RegExp]>([
    [
      'another width',
      'models/tiny',
      () => {},
      /LoRA of model\.layers\.0\.[\w.]+: got A with \d+ and B with \d+ elements/,
    ],
    [
      'a target the model lacks',
      'test/reference/llama-tiny',
      config(set(['target_modules'], ['c_attn'])),
      /"c_attn", which matches no linear layer, expected some of q_proj/,
    ],
    [
      'tensors that are not named',
      'test/reference/llama-tiny',
      config(set(['target_modules'], ['q_proj'])),
      /tensors without a place/,
    ],
    [
      'other names',
      'test/reference/llama-tiny',
      header((h) => {
        const name = firstA(h);
        h[name.replace('base_model.model.', '')] = h[name];
        delete h[name];
      }),
      /got no tensor base_model/,
    ],
  ])('%s', async (_, base, damage, message) => {
    await expect(attach(base, damage)).rejects.toThrow(message);
    await expect(attach(base, damage)).rejects.toBeInstanceOf(UserError);
  });
});

describe('weights and a config.json that do not fit', async () => {
  const device = await testDevice();
  const BASE = 'test/reference/llama-tiny';
  const layers = (count: number) => (dir: string) =>
    editJson(path.join(dir, 'config.json'), set(['num_hidden_layers'], count));
  const weights = (edit: (json: Json) => void) => (dir: string) =>
    editHeader(path.join(dir, 'model.safetensors'), (json) => void edit(json));

  test.each<[string, (dir: string) => void, RegExp]>([
    ['fewer layers in the file', layers(9), /got no tensor model\.layers\.\d\.\S+ \(and \d+ others are missing\)/],
    ['more layers in the file', layers(1), /tensor model\.layers\.1\.\S+ and \d+ others, for which config.json has no/],
    [
      'biases',
      weights((h) => {
        const bias = h['model.norm.weight'];
        h['model.layers.0.self_attn.q_proj.bias'] = bias;
        delete h['model.norm.weight'];
        h['model.norm.weight'] = {
          dtype: 'F32',
          shape: [0],
          data_offsets: [bias.data_offsets[1], bias.data_offsets[1]],
        };
      }),
      /q_proj\.bias, for which config.json has no place/,
    ],
    ['another shape', weights(set(['model.norm.weight', 'shape'], [8, 16])), /has shape \[8,16\], expected \[128\]/],
  ])('%s', async (_, damage, message) => {
    const dir = copyOf(BASE);
    damage(dir);
    const before = device.memory.live;
    await expect(loadLlama(device, dir, { precision: 'f32' })).rejects.toThrow(message);
    expect(device.memory.live).toBe(before);
  });

  test('a tied head that is stored twice and old rotary tensors are no surplus', async () => {
    const dir = copyOf('models/tiny');
    editHeader(path.join(dir, 'model.safetensors'), (h, data) => {
      const add = (name: string, at: number) => {
        h[name] = { dtype: 'F32', shape: [2], data_offsets: [data.length + at, data.length + at + 8] };
      };
      add('lm_head.weight', 0);
      add('model.layers.0.self_attn.rotary_emb.inv_freq', 8);
      return Buffer.concat([data, Buffer.alloc(16)]);
    });
    (await loadLlama(device, dir, { precision: 'f32' })).dispose();
  });
});

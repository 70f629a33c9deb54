import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { parseLlamaConfig, readLlamaConfig } from '../../src/formats/hf-config.ts';
import { copyOf, type Json, set } from '../support/model-files.ts';

function becomeDirectory(file: string): void {
  rmSync(file);
  mkdirSync(file);
}

const GOOD = readFileSync('models/tiny/config.json', 'utf8');

test.each<[string, (config: Json) => void, RegExp]>([
  ['another architecture', set(['model_type'], 'qwen2'), /model_type: got "qwen2": expected "llama"; only Llama/],
  ['attention biases', set(['attention_bias'], true), /attention_bias: got true: expected false/],
  ['biases of the MLP', set(['mlp_bias'], true), /mlp_bias: got true/],
  ['another activation', set(['hidden_act'], 'gelu'), /hidden_act: got "gelu": expected "silu"/],
  ['rotated parts', set(['partial_rotary_factor'], 0.5), /partial_rotary_factor: got 0.5/],
  ['GPTQ', set(['quantization_config'], { quant_method: 'gptq', bits: 4 }), /is gptq, expected bitsandbytes nf4/],
  ['fp8', set(['quantization_config'], { quant_method: 'fp8' }), /is fp8, expected/],
  ['int8', set(['quantization_config'], { quant_method: 'bitsandbytes', load_in_8bit: true }), /is bitsandbytes 8-bit/],
  [
    'fp4',
    set(['quantization_config'], { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'fp4' }),
    /is bitsandbytes fp4/,
  ],
  ['heads that groups do not divide', set(['num_key_value_heads'], 3), /4 is no multiple of .* 3/],
  ['an odd head size', set(['head_dim'], 31), /head_dim is 31, expected an even/],
  ['a size that is text', set(['hidden_size'], '128'), /hidden_size: got "128"/],
  ['no size', (c) => void delete c.hidden_size, /hidden_size: got nothing/],
  ['absurdly many layers', set(['num_hidden_layers'], 1e9), /num_hidden_layers: got 1000000000: Too big/],
  ['RoPE of another type', set(['rope_scaling'], { rope_type: 'yarn', factor: 2 }), /RoPE type yarn is not/],
  ['RoPE without its factors', set(['rope_scaling'], { rope_type: 'llama3' }), /llama3 without/],
  ['RoPE with equal bounds', set(['rope_scaling', 'high_freq_factor'], 1), /high_freq_factor 1 is not above/],
])('a configuration with %s is refused', (_, edit, message) => {
  const config: Json = JSON.parse(GOOD);
  edit(config);
  expect(() => parseLlamaConfig(config, 'there/config.json')).toThrow(message);
  expect(() => parseLlamaConfig(config, 'there/config.json')).toThrow(/^there\/config\.json: /);
});

test.each([null, [], 3, 'text'])('%j is no configuration', (value) => {
  expect(() => parseLlamaConfig(value, 'w')).toThrow(/^w: content: got/);
});

describe('config.json', () => {
  test('may begin with a byte order mark', () => {
    const dir = copyOf('models/tiny');
    writeFileSync(path.join(dir, 'config.json'), `\ufeff${GOOD}`);
    expect(readLlamaConfig(dir)).toEqual(readLlamaConfig('models/tiny'));
  });

  test.each<[string, (file: string) => void, RegExp]>([
    ['missing', (f) => rmSync(f), /config.json: missing/],
    ['a directory', becomeDirectory, /config.json: is a directory/],
    ['cut', (f) => truncateSync(f, 30), /config.json: is no JSON/],
    ['empty', (f) => writeFileSync(f, ''), /config.json: is no JSON/],
    ['no UTF-8', (f) => writeFileSync(f, Buffer.from([0x7b, 0xff, 0x7d])), /config.json: is no UTF-8/],
    ['a pointer of Git LFS', (f) => writeFileSync(f, 'version https://git-lfs.github.com/spec/v1'), /git lfs pull/],
  ])('that is %s is refused', (_, damage, message) => {
    const dir = copyOf('models/tiny');
    damage(path.join(dir, 'config.json'));
    expect(() => readLlamaConfig(dir)).toThrow(message);
    expect(() => readLlamaConfig(dir)).toThrow(UserError);
  });
});

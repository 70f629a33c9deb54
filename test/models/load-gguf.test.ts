import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { UserError } from '../../src/errors.ts';
import { Checkpoint } from '../../src/formats/checkpoint.ts';
import { toFloat32 } from '../../src/formats/elements.ts';
import { MIXES, type Mix } from '../../src/formats/gguf/mixes.ts';
import { type LlamaConfig, llamaConfigJson, readLlamaConfig } from '../../src/formats/hf-config.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { writeSafetensors } from '../../src/formats/safetensors-writer.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { batchOf, type Document } from '../../src/models/batch.ts';
import { weightShapes } from '../../src/models/init.ts';
import { loadLlama } from '../../src/models/load.ts';
import { openWeights } from '../../src/models/open-weights.ts';
import { copyTokenizer, saveMerged } from '../../src/models/save.ts';
import { writeLlamaGguf } from '../../src/models/save-gguf.ts';
import { checkpointRows, matrixShape, type WeightRows } from '../../src/models/weight-rows.ts';
import { AdamW } from '../../src/optim/adamw.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { openGgml, skipReason } from '../oracle/ggml.ts';
import { openLlama } from '../oracle/llama.ts';
import { testDevice } from '../support/device.ts';
import { randomConfig, randomWeights } from '../support/random-llama.ts';
import { writeTinyTokenizer } from '../support/tiny-tokenizer.ts';
import { TRICKY_TEXTS } from '../support/tricky-texts.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-load-gguf-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const device = await testDevice();
const tokenizerDir = writeTinyTokenizer(path.join(dir, 'tokenizer'));

/** Writes a Hugging Face directory of f32 weights. */
async function writeDirectory(
  name: string,
  config: LlamaConfig,
  values: ReadonlyMap<string, Float32Array>,
): Promise<string> {
  const directory = path.join(dir, name);
  mkdirSync(directory, { recursive: true });
  const shapes = weightShapes(config);
  await writeSafetensors(
    path.join(directory, 'model.safetensors'),
    [...values].map(([weight, data]) => ({
      name: weight,
      dtype: 'F32',
      shape: shapes.get(weight) as number[],
      bytes: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  );
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify(llamaConfigJson(config, 'float32')));
  return directory;
}

async function writeModel(name: string, mix: Mix, config: LlamaConfig, weights: WeightRows[]): Promise<string> {
  const file = path.join(dir, `${name}-${mix}.gguf`);
  await writeLlamaGguf({ files: [{ file, mix }], config, tokenizerDir, chatTemplate: null, weights });
  return file;
}

/** All weights of a directory as they are, for {@link writeModel}. */
async function rowsOf(directory: string): Promise<{ weights: WeightRows[]; close: () => Promise<void> }> {
  const checkpoint = await Checkpoint.open(directory);
  const weights = checkpoint.names.map((name) => checkpointRows(checkpoint, name));
  return { weights, close: () => checkpoint.close() };
}

async function logitsOf(
  from: string,
  documents: readonly Document[],
  precision: 'f32' | 'mixed',
): Promise<Float32Array> {
  const model = await loadLlama(device, from, { precision });
  const logits = await device.scopeAsync(async () => model.logits(batchOf(device, documents)).numbers());
  model.dispose();
  return Float32Array.from(logits);
}

function documents(seed: number, vocabulary: number, lengths = [40, 1, 23]): Document[] {
  const random = new Random(seed);
  return lengths.map((length) => ({ input_ids: Array.from({ length }, () => random.below(vocabulary)) }));
}

/** Equal to the bit; quicker than a comparison that prepares to print both. */
function expectSameBits(got: Float32Array, expected: Float32Array, what: string): void {
  const [a, b] = [got, expected].map((values) => new Uint32Array(values.slice().buffer));
  expect(a.length, what).toBe(b.length);
  const at = a.findIndex((bits, i) => bits !== b[i]);
  if (at >= 0) expect([got[at], at], what).toEqual([expected[at], 'the same']);
}

describe('the weights of a directory through an f32 file', () => {
  test.each(['models/tiny', 'test/reference/llama-tiny'])('%s: same configuration, same logits', async (from) => {
    const config = readLlamaConfig(from);
    const { weights, close } = await rowsOf(from);
    const file = await writeModel(path.basename(from), 'f32', config, weights);
    await close();
    const model = await loadLlama(device, file, { precision: 'f32' });
    const { bos_token_id: _, eos_token_id: __, pad_token_id: ___, ...sizes } = config;
    expect(model.config).toMatchObject(sizes);
    model.dispose();
    for (const precision of ['f32', 'mixed'] as const) {
      const tokens = documents(1, config.vocab_size, [150, 1, 23]);
      const expected = await logitsOf(from, tokens, precision);
      expect(expected.every(Number.isFinite)).toBe(true);
      expectSameBits(await logitsOf(file, tokens, precision), expected, precision);
    }
  });
});

/** Weights as ggml itself widens them, in Hugging Face's order of rows. */
async function dequantizedByGgml(file: string, config: LlamaConfig): Promise<Map<string, Float32Array>> {
  const [ggml, llama] = [await openGgml(), await openLlama()];
  const bytes = readFileSync(file);
  const tensors = llama.tensors(file);
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of weightShapes(config)) {
    const own = name
      .replace('model.embed_tokens', 'token_embd')
      .replace('model.norm', 'output_norm')
      .replace('lm_head', 'output')
      .replace('model.layers', 'blk')
      .replace('input_layernorm', 'attn_norm')
      .replace('post_attention_layernorm', 'ffn_norm')
      .replace(/self_attn\.([qkv])_proj/, 'attn_$1')
      .replace('self_attn.o_proj', 'attn_output')
      .replace(/mlp\.(\w+)_proj/, 'ffn_$1');
    const { type, begin, end } = tensors.get(own)!;
    const part = new Uint8Array(bytes.subarray(begin, end));
    const { rows, width } = matrixShape(shape);
    const wide = type === 'f32' ? new Float32Array(part.buffer) : ggml.dequantize(type, part, rows * width);
    const pairs = /\.attn_[qk]\./.test(own) ? config.head_dim / 2 : 0;
    values.set(name, pairs === 0 ? wide : halves(wide, width, pairs));
  }
  return values;
}

/** Rows 0, 2, 4, … of each head before rows 1, 3, 5, …. */
function halves(values: Float32Array, width: number, pairs: number): Float32Array {
  const row = (i: number) => Array.from(values.subarray(i * width, (i + 1) * width));
  const heads = Array.from({ length: values.length / width / (2 * pairs) }, (_, head) => head * 2 * pairs);
  const order = heads.flatMap((first) =>
    [0, 1].flatMap((odd) => Array.from({ length: pairs }, (_, pair) => first + 2 * pair + odd)),
  );
  return Float32Array.from(order.flatMap(row));
}

describe.skipIf(skipReason !== '')(`quantised files${skipReason}`, () => {
  const config = randomConfig({ wide: 256, layers: 2, groups: 2 });

  test.each(Object.keys(MIXES) as Mix[])('%s: the weights that ggml dequantises', async (mix) => {
    const file = await writeModel('random', mix, config, randomWeights(config));
    const values = await dequantizedByGgml(file, config);
    const source = await openWeights(file);
    for (const [name, shape] of weightShapes(config)) {
      const expected = values.get(name) as Float32Array;
      expectSameBits(await source.floats(name, shape), expected, name);
      // The same some rows at a time, as exports read them.
      const weight = source.rows(name, shape) as WeightRows;
      const { rows, width } = matrixShape(shape);
      for (let first = 0; first < rows; first += 100) {
        const count = Math.min(100, rows - first);
        const part = toFloat32(await weight.rows(first, count), weight.dtype, name);
        expectSameBits(part, expected.subarray(first * width, (first + count) * width), `${name} from row ${first}`);
      }
    }
    await source.close();
  });

  test.each(['f32', 'mixed'] as const)('a q5_k_m file and the directory of its weights, in %s', async (precision) => {
    const file = await writeModel('logits', 'q5_k_m', config, randomWeights(config));
    const directory = await writeDirectory('logits', config, await dequantizedByGgml(file, config));
    const tokens = documents(2, config.vocab_size);
    expectSameBits(await logitsOf(file, tokens, precision), await logitsOf(directory, tokens, precision), 'logits');
  });

  test('QLoRA on a q4_k_m file is QLoRA on the directory of its weights', async () => {
    const file = await writeModel('qlora', 'q4_k_m', config, randomWeights(config));
    const directory = await writeDirectory('qlora', config, await dequantizedByGgml(file, config));
    const adapter = parsePeftConfig(
      { peft_type: 'LORA', r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: ['q_proj', 'k_proj', 'down_proj'] },
      'test',
    );
    const train = async (from: string) => {
      const model = await loadLlama(device, from, { precision: 'mixed', load_in_4bit: true });
      const random = new Random(3);
      const trainables = attachAdapters(model, adapter, { uniform: () => random.uniform() });
      const optimizer = new AdamW(trainables);
      const trainer = new Trainer(model, {
        optimizer,
        rate: () => 1e-2,
        max_grad_norm: 1,
        gradient_checkpointing: 'selective',
        seed: 3,
      });
      const losses: number[] = [];
      for (let step = 0; step < 2; step++)
        losses.push((await trainer.step([documents(10 + step, config.vocab_size)])).loss);
      const trained: number[] = [];
      for (const { tensor } of trainables) trained.push(...(await tensor.data()));
      trainer.dispose();
      optimizer.dispose();
      model.dispose();
      return { losses, trained };
    };
    const result = await train(file);
    expect(result).toEqual(await train(directory));
    expect(result.losses[1]).not.toBe(result.losses[0]);
    expect(result.trained.every(Number.isFinite)).toBe(true);
  });
});

describe('tokenizers', () => {
  const bos = '<|begin_of_text|>';
  test.each([
    ['models/tiny', 512],
    [tokenizerDir, 300],
  ])('%s: the same tokens and texts from the file', async (from, vocabulary) => {
    const config = { ...randomConfig({ hidden: 32, wide: 32, layers: 1 }), vocab_size: vocabulary };
    const file = path.join(dir, 'tokens.gguf');
    const weights = randomWeights(config);
    await writeLlamaGguf({ files: [{ file, mix: 'f16' }], config, tokenizerDir: from, chatTemplate: null, weights });
    const original = loadTokenizer(from);
    const copy = path.join(dir, 'copied');
    mkdirSync(copy, { recursive: true });
    copyTokenizer(file, copy);
    for (const loaded of [loadTokenizer(file), loadTokenizer(copy)]) {
      expect([loaded.bos, loaded.eos, loaded.pad]).toEqual([original.bos, original.eos, original.pad]);
      expect(loaded.chatTemplate).toBe(original.chatTemplate);
      expect(TRICKY_TEXTS.length).toBe(50);
      for (const text of TRICKY_TEXTS) {
        const ids = original.encode(text);
        expect(loaded.encode(text), JSON.stringify(text)).toEqual(ids);
        expect(loaded.decode(ids), JSON.stringify(text)).toBe(original.decode(ids));
        expect(loaded.decode(ids, { skipSpecial: true })).toBe(original.decode(ids, { skipSpecial: true }));
      }
      for (let id = 0; id < vocabulary; id++) expect(loaded.isSpecial(id)).toBe(original.isSpecial(id));
    }
    const again = JSON.parse(readFileSync(path.join(copy, 'tokenizer.json'), 'utf8'));
    const before = JSON.parse(readFileSync(path.join(from, 'tokenizer.json'), 'utf8'));
    expect(again.model.vocab).toEqual(before.model.vocab);
    expect(JSON.stringify(again.post_processor).includes(bos)).toBe(
      JSON.stringify(before.post_processor).includes(bos),
    );
  });
});

test('a merged model from a file has a directory that loads, with the same logits', async () => {
  const config = randomConfig({ hidden: 64, wide: 96, layers: 1, tied: true });
  const file = await writeModel('merge', 'f32', config, randomWeights(config));
  const model = await loadLlama(device, file, { precision: 'f32' });
  const merged = path.join(dir, 'merged');
  await saveMerged(model, merged, { dtype: 'float32', tokenizerDir: file });
  model.dispose();
  const tokens = documents(4, config.vocab_size);
  expectSameBits(await logitsOf(merged, tokens, 'f32'), await logitsOf(file, tokens, 'f32'), 'logits');
  expect(loadTokenizer(merged).encode('hello <|im_end|>')).toEqual(loadTokenizer(file).encode('hello <|im_end|>'));
});

test('frequency factors that no parameters give stay as they are', async () => {
  const config = randomConfig({ hidden: 64, wide: 96, layers: 1 });
  const factors = Array.from({ length: config.head_dim / 2 }, (_, i) => Math.fround(1 + i * i * 0.37));
  config.rope.scaling = { type: 'factors', factors };
  const file = await writeModel('factors', 'f32', config, randomWeights(config));
  const model = await loadLlama(device, file, { precision: 'f32' });
  expect(model.config.rope).toEqual(config.rope);
  await expect(saveMerged(model, path.join(dir, 'refused'), { dtype: 'float32' })).rejects.toThrow(
    /config.json: got RoPE frequency factors.*write the merged model as GGUF instead/,
  );
  const again = await writeModel('again', 'f32', model.config, randomWeights(config));
  model.dispose();
  const tokens = documents(5, config.vocab_size);
  expectSameBits(await logitsOf(again, tokens, 'f32'), await logitsOf(file, tokens, 'f32'), 'logits');
  config.rope.scaling = null;
  const plain = await writeModel('plain', 'f32', config, randomWeights(config));
  expect(await logitsOf(plain, tokens, 'f32')).not.toEqual(await logitsOf(file, tokens, 'f32'));
});

test('linear scaling comes back', async () => {
  const config = randomConfig({ hidden: 32, wide: 32, layers: 1 });
  config.rope = { theta: 123_456.7, scaling: { type: 'linear', factor: 2.5 } };
  config.rms_norm_eps = 3e-6;
  const model = await loadLlama(device, await writeModel('linear', 'f16', config, randomWeights(config)), {
    precision: 'f32',
  });
  expect([model.config.rope, model.config.rms_norm_eps]).toEqual([config.rope, config.rms_norm_eps]);
  model.dispose();
});

describe('files of other models are refused', () => {
  const config = randomConfig({ hidden: 32, wide: 32, layers: 1 });

  /** Opens a file with some bytes of its metadata replaced by others of the same length. */
  async function refusal(from: string, to: string): Promise<string> {
    const file = await writeModel('refused', 'f16', config, randomWeights(config));
    const text = readFileSync(file, 'latin1');
    expect(text).toContain(from);
    expect(to.length).toBe(from.length);
    writeFileSync(file, text.replaceAll(from, to), 'latin1');
    const error = await loadLlama(device, file, { precision: 'f32' }).then(
      () => null,
      (thrown) => thrown,
    );
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(file);
    return error.message;
  }
  const key = (name: string, value: number) => `${name}\u0004\0\0\0${String.fromCharCode(value)}`;

  test.each<[string, string, string, RegExp]>([
    ['another architecture', 'llama\f\0', 'gemma\f\0', /general.architecture: got gemma, expected llama/],
    ['a missing key', 'llama.block_count', 'llama.block_cxxxx', /llama.block_count: got no such key/],
    [
      'more layers than tensors',
      key('block_count', 1),
      key('block_count', 99),
      /block_count: got 99, expected at most/,
    ],
    ['missing layers', key('block_count', 1), key('block_count', 2), /has no tensor blk.1.attn_norm.weight/],
    ['odd heads', key('key_length', 8), key('key_length', 7), /key_length: got 7, expected an even whole number/],
    ['other values', key('value_length', 8), key('value_length', 6), /value_length: got 6, expected 8/],
    ['part of a head turned', key('dimension_count', 8), key('dimension_count', 4), /dimension_count: got 4/],
    [
      'other sizes',
      key('feed_forward_length', 32),
      key('feed_forward_length', 33),
      /ffn_gate.weight has shape \[32,32\]/,
    ],
    ['a bias', 'blk.0.attn_q.weight', 'blk.0.attn_q.biased', /got tensor blk.0.attn_q.biased, expected only/],
  ])('%s', async (_, from, to, message) => {
    expect(await refusal(from, to)).toMatch(message);
  });

  test.each<[string, string, string, RegExp]>([
    ['sentence pieces', 'gpt2', 'bert', /tokenizer.ggml.model: got bert, expected gpt2/],
    ['another way of words', 'llama-bpe', 'qwen2-bpe', /tokenizer.ggml.pre: got qwen2-bpe, expected llama-bpe/],
    ['a merge of nothing', 'he ll', 'hx ll', /tokenizer.ggml.merges: got merge \d+, "hx ll"/],
    ['no tokens', 'ggml.tokens', 'ggml.tokenz', /tokenizer.ggml.tokens: got no such key/],
  ])('%s', async (_, from, to, message) => {
    const file = await writeModel('tokens-refused', 'f16', config, randomWeights(config));
    writeFileSync(file, readFileSync(file, 'latin1').replaceAll(from, to), 'latin1');
    expect(() => loadTokenizer(file)).toThrow(UserError);
    expect(() => loadTokenizer(file)).toThrow(message);
  });
});

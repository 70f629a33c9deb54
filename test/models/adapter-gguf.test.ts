import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { LlamaModel, Token } from 'node-llama-cpp';
import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../../src/data/random.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { fromFloat32, toFloat32 } from '../../src/formats/elements.ts';
import { ggufName } from '../../src/formats/gguf/names.ts';
import { GgufFile } from '../../src/formats/gguf/reader.ts';
import { type LlamaConfig, readLlamaConfig } from '../../src/formats/hf-config.ts';
import { readAdapter, type SavedAdapter } from '../../src/formats/peft.ts';
import { parsePeftConfig, resolveTargets } from '../../src/formats/peft-config.ts';
import { generate } from '../../src/generate/generate.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import { weightShapes } from '../../src/models/init.ts';
import type { Llama } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { mergedWeights } from '../../src/models/save.ts';
import { writeAdapterGguf } from '../../src/models/save-adapter-gguf.ts';
import { writeLlamaGguf } from '../../src/models/save-gguf.ts';
import type { WeightRows } from '../../src/models/weight-rows.ts';
import { skipReason } from '../oracle/ggml.ts';
import { testDevice } from '../support/device.ts';
import { randomConfig, randomWeights } from '../support/random-llama.ts';
import { writeTinyTokenizer } from '../support/tiny-tokenizer.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-adapter-gguf-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const PREFIX = 'base_model.model.';

const PLAIN = { r: 8, lora_alpha: 16, target_modules: ALL };
const STABILISED = { r: 8, lora_alpha: 12, use_rslora: true, target_modules: ['q_proj', 'k_proj', 'down_proj'] };
const PATTERNS = {
  r: 8,
  lora_alpha: 16,
  use_rslora: true,
  target_modules: ALL,
  rank_pattern: { k_proj: 3, 'layers.1.mlp.up_proj': 16 },
  alpha_pattern: { v_proj: 40, 'layers.0.self_attn.o_proj': 5 },
};

/** An adapter of random matrices, large enough to change what the model says. */
function randomAdapter(fields: object, config: LlamaConfig, seed: number): SavedAdapter {
  const peft = parsePeftConfig({ peft_type: 'LORA', ...fields }, 'test');
  const random = new Random(seed);
  const shapes = weightShapes(config);
  const modules = [...shapes.keys()]
    .filter((name) => name.includes('_proj'))
    .map((name) => name.replace('.weight', ''));
  const tensors = new Map<string, Float32Array>();
  for (const { module, r } of resolveTargets(peft, modules)) {
    const [out, width] = shapes.get(`${module}.weight`) as number[];
    const normal = (count: number, scale: number) =>
      Float32Array.from({ length: count }, () => random.normal() * scale);
    tensors.set(`${PREFIX}${module}.lora_A.weight`, normal(r * width, 1 / Math.sqrt(width)));
    tensors.set(`${PREFIX}${module}.lora_B.weight`, normal(out * r, 0.1));
  }
  return { config: peft, tensors };
}

/** Row of the file that row `row` of a weight became: neighbours are turned together, not halves of a head. */
function placeOf(row: number, heads: number, rows: number): number {
  if (heads === 0) return row;
  const size = rows / heads;
  const [head, at] = [Math.floor(row / size), row % size];
  return head * size + (at < size / 2 ? 2 * at : 2 * (at - size / 2) + 1);
}

async function readFloats(file: GgufFile, name: string): Promise<Float32Array> {
  return new Float32Array((await file.bytes(name)).buffer);
}

describe('what llama.cpp computes from the file, alpha / rank · B · A, is the update that PEFT means', () => {
  test.each([
    ['plain', PLAIN, 16],
    ['rank-stabilised', STABILISED, 12 * Math.sqrt(8)],
    ['patterns', PATTERNS, 16 * Math.sqrt(8)],
    ['a scaling of zero', { ...PLAIN, lora_alpha: 0 }, 1],
  ])('%s', async (name, fields, alpha) => {
    const config = readLlamaConfig('test/reference/llama-tiny');
    const adapter = randomAdapter(fields, config, 1);
    const file = path.join(dir, `${name}.gguf`);
    await writeAdapterGguf({ file, adapter, config, name });
    const opened = await GgufFile.open(file);
    const { metadata, names } = opened;
    expect(metadata.string('general.architecture')).toBe('llama');
    expect(metadata.string('general.type')).toBe('adapter');
    expect(metadata.string('adapter.type')).toBe('lora');
    const stored = metadata.number('adapter.lora.alpha');
    expect(stored).toBe(Math.fround(alpha));

    const modules = [...adapter.tensors.keys()].filter((key) => key.includes('lora_A'));
    expect(names).toHaveLength(adapter.tensors.size);
    const shapes = weightShapes(config);
    const targets = resolveTargets(
      adapter.config,
      modules.map((key) => key.slice(PREFIX.length, -'.lora_A.weight'.length)),
    );
    for (const { module, r, lora_alpha } of targets) {
      const [out, width] = shapes.get(`${module}.weight`) as number[];
      const own = ggufName(`${module}.weight`);
      expect(opened.entry(`${own}.lora_a`).shape).toEqual([r, width]);
      expect(opened.entry(`${own}.lora_b`).shape).toEqual([out, r]);
      const [a, b] = [await readFloats(opened, `${own}.lora_a`), await readFloats(opened, `${own}.lora_b`)];
      const A = adapter.tensors.get(`${PREFIX}${module}.lora_A.weight`) as Float32Array;
      const B = adapter.tensors.get(`${PREFIX}${module}.lora_B.weight`) as Float32Array;
      const scaling = adapter.config.use_rslora ? lora_alpha / Math.sqrt(r) : lora_alpha / r;
      const heads = module.includes('q_proj') ? 8 : module.includes('k_proj') ? 2 : 0;
      for (let row = 0; row < out; row += 7)
        for (let column = 0; column < width; column += 11) {
          let [got, expected, size] = [0, 0, 0];
          for (let k = 0; k < r; k++) {
            got += (stored / r) * b[placeOf(row, heads, out) * r + k] * a[k * width + column];
            expected += scaling * B[row * r + k] * A[k * width + column];
            size += Math.abs(scaling * B[row * r + k] * A[k * width + column]);
          }
          expect(Math.abs(got - expected), `${module} ${row},${column}`).toBeLessThanOrEqual(3e-7 * size);
        }
    }
    await opened.close();
  });
});

describe('adapters that have no place in the format are refused', () => {
  const config = readLlamaConfig('test/reference/llama-tiny');
  const file = path.join(dir, 'refused.gguf');

  test('a head that was trained as a whole', async () => {
    const adapter = await readAdapter('test/reference/peft-modules-to-save');
    await expect(writeAdapterGguf({ file, adapter, config, name: 'x' })).rejects.toThrow(
      /adapter as GGUF: got .*lm_head.*merge the adapter into the model instead/,
    );
  });

  test('an adapter of another model, and one with missing matrices', async () => {
    const adapter = randomAdapter(PLAIN, readLlamaConfig('models/tiny'), 1);
    await expect(writeAdapterGguf({ file, adapter, config, name: 'x' })).rejects.toThrow(/layers.3|elements, expected/);
    const own = randomAdapter(PLAIN, config, 1);
    own.tensors.delete(`${PREFIX}model.layers.1.mlp.up_proj.lora_B.weight`);
    await expect(writeAdapterGguf({ file, adapter: own, config, name: 'x' })).rejects.toThrow(
      /adapter as GGUF: .*lora_B.weight: got no such/,
    );
  });
});

describe.skipIf(skipReason !== '')(`llama.cpp with base and adapter${skipReason}`, () => {
  // Untied, so that even random weights do not just repeat the last token.
  const config = randomConfig({ hidden: 128, wide: 256, layers: 2, heads: 4, groups: 2 });
  config.rope.scaling = {
    type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 64,
  };
  const PROMPTS = ['Is 9.11 larger than 9.9?', '<|im_start|>user\nhello<|im_end|>\n', 'The quick brown fox'];
  const COUNT = 32;

  /**
   * Weights large enough in the blocks for attention to look somewhere. With them and the adapters below, the best
   * token is ahead of the next by about 1 % or more of the logits' deviation at each of the 192 steps.
   */
  const weights = () =>
    randomWeights(config, 'F16').map((weight): WeightRows => {
      const factor = weight.name.includes('_proj') ? 3 : 1;
      const rows = async (first: number, count: number) =>
        fromFloat32(
          toFloat32(await weight.rows(first, count), 'F16', weight.name).map((value) => value * factor),
          'F16',
        );
      return { ...weight, rows };
    });

  async function greedy(model: Llama, prompts: readonly number[][]): Promise<number[][]> {
    const out: number[][] = [];
    for (const prompt of prompts) {
      const tokens: number[] = [];
      for await (const { token } of generate(model, [prompt], { max_new_tokens: COUNT })) tokens.push(token);
      out.push(tokens);
    }
    return out;
  }

  async function greedyOfLlamaCpp(model: LlamaModel, prompts: readonly number[][], lora?: string): Promise<number[][]> {
    const context = await model.createContext({
      contextSize: 512,
      batchSize: 64,
      threads: 1,
      lora,
      experimentalKvCacheKeyType: 'F32',
      experimentalKvCacheValueType: 'F32',
    });
    const sequence = context.getSequence();
    const out: number[][] = [];
    for (const prompt of prompts) {
      await sequence.clearHistory();
      const tokens: number[] = [];
      for await (const token of sequence.evaluate(prompt as Token[], { temperature: 0, yieldEogToken: true })) {
        tokens.push(token as number);
        if (tokens.length === COUNT) break;
      }
      out.push(tokens);
    }
    await context.dispose();
    return out;
  }

  test.each([
    ['plain', PLAIN],
    ['patterns and rank-stabilised', PATTERNS],
  ])('%s: the same continuations as ours, and as the merged file', async (name, fields) => {
    const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
    const device = await testDevice();
    const tokenizerDir = writeTinyTokenizer(path.join(dir, 'tokenizer'));
    const tokenizer = loadTokenizer(tokenizerDir);
    const prompts = PROMPTS.map((text) => tokenizer.encode(text));
    const write = async (kind: string, mix: 'f32' | 'f16', weights: WeightRows[]) => {
      const file = path.join(dir, `${kind}-${mix}.gguf`);
      await writeLlamaGguf({ files: [{ file, mix }], config, tokenizerDir, chatTemplate: null, weights });
      return file;
    };
    const bases = [await write('base', 'f32', weights()), await write('base', 'f16', weights())];
    const model = await loadLlama(device, bases[0], { precision: 'f32' });
    const before = await greedy(model, prompts);

    const adapter = randomAdapter(fields, config, 8);
    attachAdapters(model, adapter.config, { saved: adapter.tensors });
    const ours = await greedy(model, prompts);
    for (const [i, tokens] of ours.entries()) {
      expect(tokens).toHaveLength(COUNT);
      expect(new Set(tokens).size, 'tokens that differ').toBeGreaterThan(4);
      expect(tokens, 'the adapter has an effect').not.toEqual(before[i]);
    }
    const lora = path.join(dir, 'lora.gguf');
    await writeAdapterGguf({ file: lora, adapter, config, name });
    const merged = await write('merged', 'f32', mergedWeights(model));
    model.dispose();

    const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 1 });
    for (const [file, adapterFile] of [...bases.map((base) => [base, lora] as const), [merged, undefined] as const]) {
      const other = await llama.loadModel({ modelPath: file, useMmap: false });
      expect(await greedyOfLlamaCpp(other, prompts, adapterFile), path.basename(file)).toEqual(ours);
      await other.dispose();
    }
  });
});

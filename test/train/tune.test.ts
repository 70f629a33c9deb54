import { beforeEach, describe, expect, test, vi } from 'vitest';
import { parseLlamaConfig } from '../../src/formats/hf-config.ts';
import type { Capabilities } from '../../src/tensor/capabilities.ts';
import { Device } from '../../src/tensor/device.ts';
import { usableMatrixShape } from '../../src/tensor/gemm/matrix.ts';
import { keyOf, type ProductShape } from '../../src/tensor/gemm/product-shape.ts';
import { candidates, type Tiling } from '../../src/tensor/gemm/tilings.ts';
import { trainConfigSchema } from '../../src/train/config.ts';
import { rehearse } from '../../src/train/rehearse.ts';
import { type Timer, timerOn, tune } from '../../src/train/tune.ts';
import { command } from '../support/command.ts';
import { temporaryDirectory } from '../support/model-files.ts';

const device = await Device.open();
/** As they are on an adapter with matrix units. */
const capabilities: Capabilities = {
  ...device.capabilities,
  software: false,
  limits: { ...device.capabilities.limits, maxComputeWorkgroupStorageSize: 49152 },
  subgroupSizes: [32, 32],
  matrixShapes: [{ M: 16, N: 16, K: 16, component: 'f16', result: 'f32' }],
};

const model = parseLlamaConfig(
  {
    model_type: 'llama',
    tie_word_embeddings: false,
    hidden_size: 256,
    intermediate_size: 512,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: 1000,
    max_position_embeddings: 512,
  },
  'test',
);
const rows = [100, 90, 120].map((length) => {
  const input_ids = new Int32Array(length).fill(7);
  return [{ input_ids, labels: input_ids }];
});
const rehearsed = (values: Record<string, unknown> = {}, on = capabilities) =>
  rehearse(on, trainConfigSchema.parse({ r: 8, ...values }), { model, rows }, 'selective');

describe('products of a rehearsed step', () => {
  test('are those of the layers, of the adapters and of the head, by key', async () => {
    const { products } = await rehearsed();
    const keys = products.map(keyOf);
    expect(new Set(keys).size).toBe(keys.length);
    // 220 tokens: those of the two longest rows.
    const expected = [
      'NT 256x24x256 panels of a f16', // h of q, k and v together
      'NT 256x512x256 panels of both rider f16', // gate and up
      'NT 256x256x512 panels of both rider f32 + f32', // down, with the residual
      'NN 256x256x512 panels of both rider f16 + f16', // dx of gate and up together
      'TN 512x8x256 panels of a f32', // dB
      'TN 512x8x256 panels of a f32 + own', // the same in the second micro-batch
      'TN 16x256x256 panels f32', // dA of gate and up
      'TN 8x256x256 f32', // of the layer that reads attention, whose result lies in rows
      'NN 1024x224x256 f32', // logits
      'TN 256x256x1024 f32', // their gradient
    ];
    expect(keys).toEqual(expect.arrayContaining(expected));
    expect(products.find((shape) => keyOf(shape) === expected[1])).toMatchObject({ m: 220, rider: 8 });
  });

  test('are none where matrix units are not used', async () => {
    expect((await rehearsed({ precision: 'f32' })).products).toEqual([]);
    expect((await rehearsed({}, { ...capabilities, matrixShapes: [] })).products).toEqual([]);
  });

  test('take the memory that the tilings which are kept take', async () => {
    const key = 'NN 1024x224x256 f32';
    const plain = await rehearsed();
    const split = {
      ...capabilities,
      tilings: new Map<string, Tiling>([[key, { tile: '128x128', splits: 8, tail: false }]]),
    };
    const { buffers, products } = await rehearsed({}, split);
    expect(products).toEqual(plain.products);
    const most = (sizes: readonly number[]) => Math.max(...sizes);
    expect(most(buffers)).toBeGreaterThan(most(plain.buffers));
    expect(most(buffers)).toBeGreaterThanOrEqual(8 * 1000 * 224 * 4);
  });
});

describe('tuning', () => {
  const shape: ProductShape = {
    transposeA: false,
    transposeB: true,
    panelsA: false,
    panelsB: false,
    batch: 1,
    m: 16,
    n: 2048,
    k: 4096,
    rider: 0,
    y: 'f16',
    addend: 'none',
  };
  const others = [shape, { ...shape, m: 512 }];
  /** Milliseconds by candidate. */
  const fake =
    (time: (tiling: Tiling, i: number) => number): Timer =>
    async (_, tilings) =>
      tilings.map(time);
  let lines: string[];
  const run = (timer: Timer) => tune(others, timer, (line) => lines.push(line));
  beforeEach(() => {
    lines = [];
  });

  test('keeps the fastest, and says what it brings', async () => {
    const favourite = candidates(shape).findLast(({ tile }) => tile === '64x128') as Tiling;
    const found = await run(
      fake(({ tile, splits }) => (tile === favourite.tile && splits === favourite.splits ? 0.5 : 1)),
    );
    expect(found.get(keyOf(shape))).toEqual(favourite);
    expect([...found.keys()]).toEqual(others.map(keyOf));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      /^NT 16x2048x4096 f16: default 16x128 in 16 parts 0\.268 TFLOP\/s, best 64x128 in \d+ parts 0\.537 TFLOP\/s: kept, 100\.0 % faster \(\d+ tried\)$/,
    );
  });

  test('leaves the default what is not more than 2 % slower', async () => {
    const found = await run(fake((_, i) => (i === 1 ? 1 / 1.019 : 1)));
    expect([...found.values()]).toEqual([null, null]);
    expect(lines[0]).toMatch(/: default stays \(/);
    expect([...(await run(fake((_, i) => (i === 1 ? 1 / 1.021 : 1)))).values()]).not.toContain(null);
  });
});

test('the timer measures each tiling of a product with all that goes with it', async () => {
  const product: ProductShape = {
    transposeA: false,
    transposeB: false,
    panelsA: false,
    panelsB: true,
    batch: 1,
    m: 9,
    n: 72,
    k: 520,
    rider: 8,
    y: 'f32',
    addend: 'own',
  };
  const times = await timerOn(device, 'emulated')(product, [
    { tile: '16x128', splits: 1, tail: false },
    { tile: '16x128', splits: 3, tail: false },
  ]);
  expect(times).toHaveLength(2);
  for (const time of times) expect(time).toBeGreaterThan(0);
  expect(device.scopes.depth).toBe(0);
  device.trim();
  expect(device.memory.reservedBytes).toBe(0);
});

describe('the command', () => {
  test.skipIf(device.capabilities.matrixShapes.length > 0)('says that there is nothing to tune', async () => {
    vi.stubEnv('DAWNTUNE_CACHE', temporaryDirectory());
    const { code, out, err } = await command('tune', '--config', 'recipes/tiny.yaml', '--r', '4');
    expect([code, err]).toEqual([0, []]);
    expect(out).toMatch(/^nothing to tune: on .* the driver offers no matrix units\n$/);
    vi.unstubAllEnvs();
  });

  test('takes the flags of train', async () => {
    const { code, err } = await command('tune', '--learning-rate', 'abc');
    expect(code).toBe(1);
    expect(err[0]).toMatch(/--learning-rate: got "abc", expected a number above 0/);
    expect((await command('tune', '--help')).out).toContain('--per-device-train-batch-size');
  });

  test.each([
    ['--model', '/nowhere', /^error: \/nowhere.*: got no such directory/],
    ['--dataset', '/nowhere.jsonl', /^error: \/nowhere\.jsonl: got no such file/],
    ['--target-modules', 'c_attn', /"c_attn", which matches no linear layer/],
  ])('checks %s %s as train does, before it looks at the device', async (flag, value, message) => {
    const open = vi.spyOn(Device, 'open');
    const outcomes = [await command('tune', flag, value), await command('train', flag, value)];
    expect(open).not.toHaveBeenCalled();
    open.mockRestore();
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect(outcomes[0]).toMatchObject({ code: 1, out: '', err: [expect.stringMatching(message)] });
  });

  test('doctor says where what was tuned is kept, or that there is nothing to tune', async () => {
    const expected = usableMatrixShape(device.capabilities)
      ? /^tuned products +off \(DAWNTUNE_CACHE=off, or no home directory\)$/m
      : /^tuned products +nothing to tune: no usable matrix units$/m;
    expect((await command('doctor')).out).toMatch(expected);
  });
});

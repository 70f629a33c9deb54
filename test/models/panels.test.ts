import { describe, expect, test, vi } from 'vitest';
import { withTape } from '../../src/autograd/recording.ts';
import { type Checkpointing, Tape } from '../../src/autograd/tape.ts';
import { toFloat32 } from '../../src/formats/elements.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters, type Trainable } from '../../src/lora/attach.ts';
import { batchOf } from '../../src/models/batch.ts';
import { isLayerMatrix } from '../../src/models/init.ts';
import { Linear, readPanels } from '../../src/models/linear.ts';
import { Llama } from '../../src/models/llama.ts';
import { quantizeNf4 } from '../../src/quant/nf4.ts';
import { bytesOf } from '../../src/tensor/dtype.ts';
import { PanelMatrix } from '../../src/tensor/panel-matrix.ts';
import type { Shape } from '../../src/tensor/shape.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { takeGrad } from '../support/leaf.ts';
import { randomConfig, randomWeights } from '../support/random-llama.ts';

/** Panels without matrix units too, whose products then copy them to rows: the same numbers have to come out. */
const panels = { forced: false };
vi.mock('../../src/tensor/panel-matrix.ts', async (original) => {
  const actual = await original<typeof import('../../src/tensor/panel-matrix.ts')>();
  const panelsSuit = (_: unknown, [rows, columns]: Shape) => panels.forced && rows >= 128 && columns % 128 === 0;
  return { ...actual, panelsSuit };
});

const device = await testDevice();
const config = randomConfig({ hidden: 256, wide: 384, layers: 2, heads: 4, groups: 2 });

/** A Llama in NF4 with adapters that change it. */
async function randomModel(lora_dropout = 0): Promise<{ model: Llama; trainables: Trainable[] }> {
  const weights = new Map<string, Tensor>();
  for (const { name, shape, dtype, rows } of randomWeights(config)) {
    const values = toFloat32(await rows(0, shape.length === 2 ? shape[0] : 1), dtype, name);
    const tensor = device.scope(() => {
      const dense = Tensor.from(device, values, shape);
      return device.persist(isLayerMatrix(name, shape) ? quantizeNf4(dense) : dense);
    });
    weights.set(name, tensor);
  }
  const model = new Llama(device, config, 'mixed', (name) => weights.get(name) as Tensor);
  const peft = { peft_type: 'LORA', r: 8, lora_alpha: 8, lora_dropout, target_modules: 'all-linear' };
  let seed = 0;
  const trainables = attachAdapters(model, parsePeftConfig(peft, 'panels.test.ts'), { uniform: () => 0.5 });
  for (const { tensor } of trainables)
    device.upload(tensor, bytesOf(Float32Array.from(normals(tensor.size, seed++), (x) => 0.05 * x)));
  return { model, trainables };
}

const document = (length: number, first: number) => {
  const ids = Array.from({ length }, (_, i) => (first + 7 * i) % config.vocab_size);
  return { input_ids: ids, labels: ids };
};

/** Loss and gradients of one step. */
async function step({ model, trainables }: { model: Llama; trainables: Trainable[] }, checkpointing: Checkpointing) {
  const results: number[][] = [];
  await device.scopeAsync(async () => {
    const batch = batchOf(device, [document(90, 1), document(59, 2)]);
    const tape = new Tape(checkpointing);
    const loss = withTape(tape, () => model.loss(batch, 147));
    results.push([await loss.item()]);
    await tape.arrival();
    tape.backward(loss);
  });
  for (const { tensor } of trainables) results.push(await takeGrad(tensor));
  return results;
}

describe('a Llama with its activations in panels', () => {
  test('has the loss and the gradients that it has with rows, however it is checkpointed', async () => {
    const before = device.memory.live;
    const made = vi.spyOn(PanelMatrix, 'empty');
    const both = await randomModel();
    panels.forced = false;
    const rows = await step(both, 'none');
    expect(made).not.toHaveBeenCalled();
    expect(rows.slice(1).every((gradient) => gradient.some((x) => x !== 0))).toBe(true);
    panels.forced = true;
    for (const checkpointing of ['none', 'selective', 'full', 'offload'] as const) {
      made.mockClear();
      expect(await step(both, checkpointing), checkpointing).toEqual(rows);
      // In each of two layers two norms, three of SwiGLU, two rounded gradients; in the second q, k and v side by side.
      expect(made.mock.calls.length, checkpointing).toBeGreaterThanOrEqual(15);
    }
    made.mockRestore();
    both.model.dispose();
    for (const { tensor } of both.trainables) expect(tensor.storage.freed).toBe(true);
    expect(device.memory.live).toBe(before);
  });
});

test('layers read panels where products alone read what they get', () => {
  device.scope(() => {
    const weight = Tensor.empty(device, [128, 128], 'f16');
    const linear = (lowRank: (() => null) | undefined) => {
      const layer = new Linear('layer', weight);
      if (lowRank) layer.adapter = { forward: () => weight, merge: () => weight, parameters: () => [], lowRank };
      return layer;
    };
    panels.forced = true;
    const read = (linears: Linear[], shape: number[]) => readPanels(linears, device, shape, {});
    expect(read([linear(undefined)], [128, 128])).toBe(true);
    expect(read([linear(undefined)], [127, 128])).toBe(false);
    expect(read([linear(undefined), linear(() => null)], [128, 128])).toBe(false);
  });
});

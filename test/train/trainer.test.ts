import { describe, expect, test } from 'vitest';
import type { Checkpointing } from '../../src/autograd/tape.ts';
import { Random } from '../../src/data/random.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import type { Document } from '../../src/models/batch.ts';
import type { Precision } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { testDevice } from '../support/device.ts';

const device = await testDevice();
const ADAPTER = parsePeftConfig(
  {
    peft_type: 'LORA',
    r: 4,
    lora_alpha: 8,
    lora_dropout: 0.1,
    use_rslora: true,
    target_modules: ['q_proj', 'v_proj', 'down_proj'],
  },
  'test',
);

function documents(seed: number, lengths: readonly number[]): Document[] {
  const random = new Random(seed);
  return lengths.map((length) => ({ input_ids: Array.from({ length }, () => random.below(512)) }));
}

/** Three steps of QLoRA; losses and the bytes of the adapter. */
async function run(seed: number, precision: Precision, gradient_checkpointing: Checkpointing) {
  const model = await loadLlama(device, 'test/reference/llama-tiny', { precision, load_in_4bit: true });
  const random = new Random(seed);
  const trainables = attachAdapters(model, ADAPTER, { uniform: () => random.uniform() });
  const optimizer = new AdamW8bit(trainables);
  const trainer = new Trainer(model, { optimizer, rate: () => 1e-2, max_grad_norm: 1, gradient_checkpointing, seed });
  const losses: number[] = [];
  const peaks: number[] = [];
  for (let step = 0; step < 3; step++) {
    const report = await trainer.step([documents(step, [60, 1, 30]), documents(step + 50, [40, 25])]);
    losses.push(report.loss);
    peaks.push(report.peakBytes);
  }
  const adapter: number[] = [];
  for (const { tensor } of trainables) adapter.push(...(await tensor.data()));
  trainer.dispose();
  optimizer.dispose();
  model.dispose();
  return { losses, adapter, peak: Math.max(...peaks) };
}

describe.each(['f32', 'mixed'] as const)('%s', (precision) => {
  test('the same seed gives the same losses and adapter, another seed others', async () => {
    const first = await run(1, precision, 'none');
    expect(await run(1, precision, 'none')).toEqual(first);
    expect((await run(2, precision, 'none')).adapter).not.toEqual(first.adapter);
  });

  test('every way of checkpointing gives the same bits, with dropout, for less memory', async () => {
    const none = await run(1, precision, 'none');
    const selective = await run(1, precision, 'selective');
    const full = await run(1, precision, 'full');
    expect([selective.losses, selective.adapter]).toEqual([none.losses, none.adapter]);
    expect([full.losses, full.adapter]).toEqual([none.losses, none.adapter]);
    expect(selective.peak).toBeLessThan(none.peak);
    expect(full.peak).toBeLessThan(selective.peak);
  });
});

test('steps without a target are refused', async () => {
  const model = await loadLlama(device, 'test/reference/llama-tiny', { precision: 'f32' });
  const trainables = attachAdapters(model, ADAPTER, { uniform: () => 0.5 });
  const optimizer = new AdamW8bit(trainables);
  const trainer = new Trainer(model, {
    optimizer,
    rate: () => 1,
    max_grad_norm: 1,
    gradient_checkpointing: 'none',
    seed: 1,
  });
  await expect(trainer.step([[{ input_ids: [1, 2], labels: [-100, -100] }]])).rejects.toThrow(/no token with a label/);
  trainer.dispose();
  optimizer.dispose();
  model.dispose();
});

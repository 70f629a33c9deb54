import { describe, expect, test, vi } from 'vitest';
import type { Checkpointing } from '../../src/autograd/tape.ts';
import { Random } from '../../src/data/random.ts';
import { parsePeftConfig } from '../../src/formats/peft-config.ts';
import { attachAdapters } from '../../src/lora/attach.ts';
import type { Document } from '../../src/models/batch.ts';
import type { Precision } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { AdamW8bit } from '../../src/optim/adamw8bit.ts';
import { Nf4Tensor } from '../../src/quant/nf4.ts';
import { type StepReport, Trainer } from '../../src/train/trainer.ts';
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
/** Adapters on all that share an input, so that one product makes its gradient. */
const TOGETHER = parsePeftConfig(
  {
    peft_type: 'LORA',
    r: 4,
    lora_alpha: 8,
    lora_dropout: 0,
    target_modules: ['q_proj', 'k_proj', 'v_proj', 'up_proj'],
  },
  'test',
);

function documents(seed: number, lengths: readonly number[]): Document[] {
  const random = new Random(seed);
  return lengths.map((length) => ({ input_ids: Array.from({ length }, () => random.below(512)) }));
}

/** Three steps of QLoRA; losses and the bytes of the adapter. */
async function run(seed: number, precision: Precision, gradient_checkpointing: Checkpointing, peft = ADAPTER) {
  const model = await loadLlama(device, 'test/reference/llama-tiny', { precision, load_in_4bit: true });
  const random = new Random(seed);
  const trainables = attachAdapters(model, peft, { uniform: () => random.uniform() });
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

  test.each([
    ['with dropout', ADAPTER],
    ['without, with one product for several gradients', TOGETHER],
  ])('every way of checkpointing gives the same bits, %s, for less memory', async (_, peft) => {
    const stacked = vi.spyOn(Nf4Tensor.prototype, 'stackedWith');
    const none = await run(1, precision, 'none', peft);
    expect(stacked.mock.results.some(({ value }) => value !== null)).toBe(peft === TOGETHER);
    stacked.mockRestore();
    const selective = await run(1, precision, 'selective', peft);
    const full = await run(1, precision, 'full', peft);
    const offload = await run(1, precision, 'offload', peft);
    expect([selective.losses, selective.adapter]).toEqual([none.losses, none.adapter]);
    expect([full.losses, full.adapter]).toEqual([none.losses, none.adapter]);
    expect([offload.losses, offload.adapter]).toEqual([none.losses, none.adapter]);
    expect(selective.peak).toBeLessThan(none.peak);
    expect(full.peak).toBeLessThan(selective.peak);
    // Of two layers; test/train/memory-plan.test.ts has more.
    expect(offload.peak).toBeLessThanOrEqual(full.peak);
  });
});

/** A trainer of a small QLoRA; `run` gets it and whatever it made is freed. */
async function withTrainer<T>(
  run: (trainer: Trainer, adapter: () => Promise<number[]>) => Promise<T>,
  gradient_checkpointing: Checkpointing = 'none',
): Promise<T> {
  const model = await loadLlama(device, 'test/reference/llama-tiny', { precision: 'f32', load_in_4bit: true });
  const random = new Random(1);
  const trainables = attachAdapters(model, ADAPTER, { uniform: () => random.uniform() });
  const optimizer = new AdamW8bit(trainables);
  const options = { rate: () => 1e-2, max_grad_norm: 1, gradient_checkpointing, seed: 1 };
  const trainer = new Trainer(model, { optimizer, ...options });
  const adapter = async () => (await Promise.all(trainables.map(({ tensor }) => tensor.data()))).flatMap((x) => [...x]);
  try {
    return await run(trainer, adapter);
  } finally {
    trainer.dispose();
    optimizer.dispose();
    model.dispose();
  }
}

const BATCHES = [[20, 9], [25], [30, 2], [12]].map((lengths, i) => [documents(i, lengths), documents(i + 9, [5])]);
const UNLABELLED: Document = { input_ids: [1, 2], labels: [-100, -100] };

describe('steps one after the other', () => {
  const seen = async (trainer: Trainer, batches: Iterable<Document[][]>) => {
    const reports: Pick<StepReport, 'step' | 'loss' | 'grad_norm' | 'tokens'>[] = [];
    let error: unknown = null;
    try {
      for await (const { step, loss, grad_norm, tokens } of trainer.steps(batches))
        reports.push({ step, loss, grad_norm, tokens });
    } catch (cause) {
      error = cause;
    }
    return { reports, error };
  };

  test.each(['none', 'offload'] as const)('are those that are waited for each, to the bit: %s', async (mode) => {
    const single = await withTrainer(async (trainer, adapter) => {
      const reports = [];
      for (const batch of BATCHES) reports.push(await trainer.step(batch));
      return { reports, adapter: await adapter() };
    });
    const { reports, adapter } = await withTrainer(
      async (trainer, values) => ({
        ...(await seen(trainer, BATCHES)),
        adapter: await values(),
      }),
      mode,
    );
    expect(reports).toEqual(
      single.reports.map(({ step, loss, grad_norm, tokens }) => ({ step, loss, grad_norm, tokens })),
    );
    expect(adapter).toEqual(single.adapter);
  });

  test('are recorded before the report of the one before is waited for', () =>
    withTrainer(async (trainer) => {
      const events: string[] = [];
      function* batches() {
        for (const [i, batch] of BATCHES.entries()) {
          events.push(`start ${i + 1}`);
          yield batch;
        }
      }
      for await (const { step, seconds } of trainer.steps(batches())) {
        expect(seconds).toBeGreaterThan(0);
        events.push(`report ${step}`);
      }
      const expected = ['start 1', 'start 2', 'report 1', 'start 3', 'report 2', 'start 4', 'report 3', 'report 4'];
      expect(events).toEqual(expected);
    }));

  test('report what was done before a step that fails, and its error', () =>
    withTrainer(async (trainer) => {
      const { reports, error } = await seen(trainer, [...BATCHES.slice(0, 2), [[UNLABELLED]], BATCHES[3]]);
      expect(reports.map(({ step }) => step)).toEqual([1, 2]);
      expect(String(error)).toMatch(/train: step 3: got no token with a label/);
    }));

  test('end with the first loss that is not a number', () =>
    withTrainer(async (trainer, adapter) => {
      const norm = trainer.model.norm;
      function* batches() {
        yield* BATCHES.slice(0, 2);
        device.upload(norm, new Uint8Array(new Float32Array(norm.size).fill(Number.NaN).buffer));
        yield* BATCHES;
      }
      const { reports, error } = await seen(trainer, batches());
      expect(reports.map(({ step }) => step)).toEqual([1, 2]);
      expect(String(error)).toMatch(/train: step 3: got a loss that is not a number/);
      expect((await adapter()).every(Number.isFinite)).toBe(true); // Both steps were skipped.
    }));

  test('allocate nothing and make no bind group after the second', () =>
    withTrainer(async (trainer) => {
      const create = vi.spyOn(GPUDevice.prototype, 'createBuffer');
      const bind = vi.spyOn(GPUDevice.prototype, 'createBindGroup');
      for await (const { step } of trainer.steps(Array.from({ length: 6 }, () => BATCHES[0]))) {
        // The step after this one is recorded already.
        if (step >= 2) expect([create.mock.calls.length, bind.mock.calls.length]).toEqual([0, 0]);
        create.mockClear();
        bind.mockClear();
      }
      create.mockRestore();
      bind.mockRestore();
    }));
});

test('steps without a target are refused', () =>
  withTrainer(async (trainer) => {
    await expect(trainer.step([[UNLABELLED]])).rejects.toThrow(/no token with a label/);
  }));

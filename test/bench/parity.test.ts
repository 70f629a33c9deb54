import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareParity, cosine } from '../../bench/8b/parity.ts';
import { writeSafetensors } from '../../src/formats/safetensors-writer.ts';
import { type Arrays, arrayOf, readArrays } from '../../src/reference/files.ts';
import { testDevice } from '../support/device.ts';

const SETS = 'test/reference';
const dir = mkdtempSync(path.join(os.tmpdir(), 'dawntune-parity-'));

/** One step of the QLoRA reference set in the layout that bench/torch/parity_8b.py writes. */
async function writeExpected(change: (name: string, values: Float32Array) => void = () => {}): Promise<void> {
  const batch = await readArrays(path.join(SETS, 'forward_backward.safetensors'));
  const qlora = await readArrays(path.join(SETS, 'qlora', 'expected.safetensors'));
  const of = (arrays: Arrays, name: string) => arrayOf(arrays, name);
  const floats = new Map([...qlora].filter(([name]) => name.startsWith('grad.')));
  floats.set('losses', of(qlora, 'loss'));
  await writeSafetensors(path.join(dir, 'expected.safetensors'), [
    ...['input_ids', 'labels'].map((name) => {
      const { shape, data } = of(batch, name);
      return { name, dtype: 'I32' as const, shape: [1, ...shape], bytes: () => new Uint8Array(data.slice().buffer) };
    }),
    ...[...floats].map(([key, { shape, data }]) => {
      const [name, values] = [key.replace('.default.', '.'), Float32Array.from(data)];
      change(name, values);
      return { name, dtype: 'F32' as const, shape, bytes: () => new Uint8Array(values.buffer) };
    }),
  ]);
}

const compare = async () => compareParity(await testDevice(), dir, { checkpointing: 'full', steps: 20 }, () => {});

beforeAll(() => {
  cpSync(path.join(SETS, 'llama-tiny-bnb-4bit'), path.join(dir, 'model'), { recursive: true });
  cpSync(path.join(SETS, 'qlora', 'adapter'), path.join(dir, 'adapter'), { recursive: true });
  writeFileSync(path.join(dir, 'parity.json'), JSON.stringify({ lr: 1e-4, max_grad_norm: 1 }));
});
afterAll(() => rmSync(dir, { recursive: true }));

test('a run that PyTorch computed is followed', async () => {
  await writeExpected();
  const { losses, gradients, worstGradient, passed } = await compare();
  expect(losses).toHaveLength(1);
  expect(losses[0].relative).toBeLessThan(2e-3);
  expect(gradients).toHaveLength(42);
  expect(worstGradient.cosine).toBeGreaterThan(0.999);
  expect(passed).toBe(true);
});

test('one gradient of another direction is found and named', async () => {
  const wrong = 'grad.base_model.model.model.layers.1.mlp.up_proj.lora_B.weight';
  await writeExpected((name, values) => {
    if (name === wrong) for (const i of values.keys()) if (i % 2 === 0) values[i] *= 1.2;
  });
  const { worstGradient, passed } = await compare();
  expect(`grad.${worstGradient.name}`).toBe(wrong);
  expect(passed).toBe(false);
});

test('a loss that differs by more than a per cent fails', async () => {
  await writeExpected((name, values) => {
    if (name === 'losses') values[0] *= 1.02;
  });
  const { worstLoss, passed } = await compare();
  expect(worstLoss).toBeGreaterThan(0.01);
  expect(passed).toBe(false);
});

test('the cosine of a vector that is zero or not finite is NaN', () => {
  expect(cosine([1, 2], [2, 4])).toBeCloseTo(1, 12);
  expect(cosine([1, 0], [0, 1])).toBe(0);
  expect(cosine([0, 0], [1, 1])).toBeNaN();
  expect(cosine([1, Number.NaN], [1, 1])).toBeNaN();
});

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { writeSafetensors } from '../src/formats/safetensors-writer.ts';
import { maxErrorOverMax, relativeL2 } from '../src/reference/compare.ts';
import { passes } from '../src/reference/report.ts';
import { runReference } from '../src/reference/run.ts';
import { testDevice } from './support/device.ts';
import { temporaryDirectory } from './support/model-files.ts';

/** Failed lines of a directory with these copies of the project's own data and these files besides. */
async function failures(copies: readonly string[], files: Record<string, string> = {}): Promise<string[]> {
  const dir = temporaryDirectory();
  for (const name of copies) cpSync(path.join('test/reference', name), path.join(dir, name), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text);
  }
  return failuresIn(dir);
}

async function failuresIn(dir: string): Promise<string[]> {
  const device = await testDevice();
  const before = device.memory.live;
  const { comparisons } = await runReference(device, dir, () => {});
  expect(device.memory.live).toBe(before);
  return comparisons.filter((comparison) => !passes(comparison)).map(({ name }) => name);
}

const SETS =
  /^(forward_backward|packed|peft-lora|peft-rslora|peft-rank-pattern|peft-modules-to-save|qlora \(.*\)) (f32|mixed): /;

test('an empty directory fails in every set, once each', async () => {
  const lines = await failures([]);
  expect(lines.filter((line) => SETS.test(line))).toHaveLength(16);
  for (const set of ['greedy', 'train-rslora', 'nf4', 'adamw8bit'])
    expect(lines.filter((line) => line.startsWith(`${set}: `))).toHaveLength(1);
  expect(lines).toHaveLength(20);
});

test.each([
  ['no JSON', '{"prompt": [1', /greedy\.json: .*JSON/],
  ['JSON of another form', '{"prompt": [1, 2]}', /greedy\.json: output: /],
  ['no numbers', '{"prompt": [1], "output": ["a", "b"]}', /greedy\.json: output\.0: /],
])('greedy.json with %s fails, and the rest still runs', async (_, text, message) => {
  const lines = await failures(['llama-tiny', 'nf4.safetensors'], { 'greedy.json': text });
  expect(lines.filter((line) => line.startsWith('greedy'))).toEqual([expect.stringMatching(message)]);
  expect(lines.filter((line) => line.startsWith('nf4'))).toEqual([]);
});

test('expected.json without losses fails', async () => {
  const lines = await failures(['llama-tiny'], { 'train-rslora/expected.json': '{"losses": []}' });
  expect(lines).toContainEqual(expect.stringMatching(/^train-rslora: .*expected\.json: /));
});

const f32 = (name: string, values: number[]) => ({
  name,
  dtype: 'F32' as const,
  shape: [values.length],
  bytes: () => new Uint8Array(Float32Array.from(values).buffer),
});

test.each([
  ['nf4', [], /no case/],
  ['nf4', [f32('gauss.packed', [1])], /no tensor gauss\.input/],
  ['nf4', [f32('gauss.input', [1, Number.NaN])], /not finite/],
  ['adamw8bit', [], /no case/],
  ['adamw8bit', [f32('big.grad0', [1])], /no tensor big\.param0/],
  ['adamw8bit', [f32('big.param0', [1]), f32('big.grad1', [1]), f32('big.param2', [1])], /no tensor big\.grad0/],
  ['adamw8bit', [f32('big.param0', [1])], /no tensor big\.grad0/],
])('%s.safetensors without what it needs fails', async (set, tensors, message) => {
  const dir = temporaryDirectory();
  await writeSafetensors(path.join(dir, `${set}.safetensors`), tensors);
  const lines = await failuresIn(dir);
  expect(lines.filter((line) => line.startsWith(`${set}: `))).toEqual([expect.stringMatching(message)]);
});

test('nothing compared is nothing shown', () => {
  for (const measure of [maxErrorOverMax, relativeL2]) {
    expect(measure([], [])).toBeNaN();
    expect(measure([Number.NaN, 1], [0, 1])).toBeNaN();
    expect(measure([1], [1, 1])).toBeNaN();
  }
});

import path from 'node:path';
import { expect, test } from 'vitest';
import { type Comparison, passes } from '../src/reference/report.ts';
import { runReference } from '../src/reference/run.ts';
import { testDevice } from './support/device.ts';
import { editHeader, editJson, type Json, temporaryDirectory } from './support/model-files.ts';
import { writeReferenceSet } from './support/reference-set.ts';
import { SHAPE_CASES } from './support/shape-cases.ts';

// `npm run reference -- DIR` on directories for models of other shapes, whose numbers a plain Llama in double
// precision gives: test/support/llama-f64.ts.

const device = await testDevice();

async function comparisonsOf(dir: string): Promise<readonly Comparison[]> {
  const before = device.memory.live;
  const { comparisons } = await runReference(device, dir, () => {});
  expect(device.memory.live).toBe(before);
  return comparisons;
}

const failed = (comparisons: readonly Comparison[]) =>
  comparisons.filter((comparison) => !passes(comparison)).map(({ name }) => name);

test.each([SHAPE_CASES[0], SHAPE_CASES[1], SHAPE_CASES[2]])('every set within its bounds: $name', async (one) => {
  const dir = temporaryDirectory();
  await writeReferenceSet(dir, one);
  const comparisons = await comparisonsOf(dir);
  // Five sets of adapters and two of weights in two precisions, four steps in three modes, NF4 and AdamW.
  expect(comparisons.length).toBeGreaterThan(400);
  // With twelve channels and heads of two, rounding the weights to f16 alone moves a gradient by 4 %.
  const held = one.config.hidden_size > 12 ? comparisons : comparisons.filter(({ name }) => !/ mixed /.test(name));
  expect(failed(held)).toEqual([]);
});

test('what is wrong with a complete set is found, and nothing else', async () => {
  const dir = temporaryDirectory();
  await writeReferenceSet(dir, SHAPE_CASES[6]);
  expect(failed(await comparisonsOf(dir))).toEqual([]);
  const file = (name: string) => path.join(dir, name);

  // One element of one gradient off by 1e-3 of the largest: f32 notices, 1e-2 of its length would not.
  editElement(file('packed.safetensors'), 'grad.model.norm.weight', (values) => {
    const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    values[3] += 1e-3 * most;
  });
  // A gradient that the model does not have, and one less than it has.
  rename(file('forward_backward.safetensors'), 'grad.model.norm.weight', 'grad.model.abnorm.weight');
  editElement(file('peft-lora/expected.safetensors'), 'loss', (values) => values.fill(Number.NaN));
  rename(file('peft-rslora/expected.safetensors'), 'logits', 'logit');
  rename(
    file('train-rslora/final/adapter_model.safetensors'),
    'base_model.model.model.layers.1.mlp.up_proj.lora_B.weight',
    'base_model.model.model.layers.9.mlp.up_proj.lora_B.weight',
  );
  editJson(file('greedy.json'), (json: Json) => {
    json.output = json.prompt;
  });
  const lines = failed(await comparisonsOf(dir)).map((name) => name.replace(/: .*/, ''));
  const everyMode = ['none', 'selective', 'full', 'offload'].flatMap((mode) =>
    [1, 9].map((layer) => {
      const name = `base_model.model.model.layers.${layer}.mlp.up_proj.lora_B.weight`;
      return `train-rslora f32 checkpointing=${mode} ${name}`;
    }),
  );
  const bothPrecisions = ['f32', 'mixed'].flatMap((precision) => [
    `forward_backward ${precision} grad.model.norm.weight`,
    `forward_backward ${precision} grad.model.abnorm.weight`,
    `peft-lora ${precision}`,
  ]);
  expect(lines.toSorted()).toEqual(
    ['packed f32 grad.model.norm.weight', 'peft-rslora f32', 'greedy', ...bothPrecisions, ...everyMode].toSorted(),
  );
});

/** Changes the f32 values of one tensor of a safetensors file. */
function editElement(file: string, name: string, edit: (values: Float32Array) => void): void {
  editHeader(file, (header, data) => {
    const [begin, end] = header[name].data_offsets;
    const values = new Float32Array(Uint8Array.from(data.subarray(begin, end)).buffer);
    edit(values);
    data.set(new Uint8Array(values.buffer), begin);
    return data;
  });
}

function rename(file: string, from: string, to: string): void {
  editHeader(file, (header) => {
    header[to] = header[from];
    delete header[from];
    return undefined;
  });
}

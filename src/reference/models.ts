import path from 'node:path';
import { z } from 'zod';
import { withTape } from '../autograd/recording.ts';
import { Tape } from '../autograd/tape.ts';
import { complain } from '../errors.ts';
import { readAdapter } from '../formats/peft.ts';
import { generate } from '../generate/generate.ts';
import { attachAdapters, type Trainable } from '../lora/attach.ts';
import { batchOf, countTargets, type Document } from '../models/batch.ts';
import type { Llama, Precision } from '../models/llama.ts';
import { loadLlama } from '../models/load.ts';
import type { Device } from '../tensor/device.ts';
import { BARS } from './bars.ts';
import { type Arrays, arrayOf, readArrays, readJson } from './files.ts';
import type { Report } from './report.ts';

/** Cuts token ids of shape [rows, width] (or the flat lengths of documents) into documents. */
function documentsOf(arrays: Arrays): Document[] {
  const ids = arrayOf(arrays, 'input_ids');
  const labels = arrays.get('labels')?.data ?? ids.data;
  const lengths = arrays.get('lengths')?.data ?? new Array<number>(ids.shape[0]).fill(ids.shape[1]);
  let start = 0;
  return Array.from(lengths, (length) => {
    const end = start + length;
    const document = { input_ids: ids.data.slice(start, end), labels: labels.slice(start, end) };
    start = end;
    return document;
  });
}

interface Expectation {
  name: string;
  documents: readonly Document[];
  expected: Arrays;
  /** Trained tensors by the names of their gradients in the reference. */
  trainables: readonly Trainable[];
}

/** Holds logits, loss and every gradient of a model against a reference set. */
async function compareModel(
  report: Report,
  model: Llama,
  { name, documents, expected, trainables }: Expectation,
): Promise<void> {
  const { device, precision } = model;
  const bars = BARS[precision];
  const title = `${name} ${precision}`;
  await device.scopeAsync(async () => {
    const batch = batchOf(device, documents);
    const logits = await model.logits(batch).numbers();
    if (precision === 'f32')
      report.maxError(`${title} logits`, logits, arrayOf(expected, 'logits').data, BARS.f32.logits);
    const tape = new Tape('none');
    const loss = withTape(tape, () => model.loss(batch, countTargets(documents)));
    report.absolute(`${title} loss`, await loss.item(), arrayOf(expected, 'loss').data[0], bars.loss);
    tape.backward(loss);
  });
  const names = new Set([...expected.keys()].filter((key) => key.startsWith('grad.')));
  for (const { name: tensorName, tensor } of trainables) {
    const key = `grad.${tensorName}`;
    names.delete(key);
    const want = expected.get(key);
    if (!want || !tensor.grad) {
      report.missing(`${title} ${key}`);
      continue;
    }
    const got = await tensor.grad.numbers();
    if (precision === 'f32') report.maxError(`${title} ${key}`, got, want.data, BARS.f32.gradient);
    else report.relativeL2(`${title} ${key}`, got, want.data, BARS.mixed.gradient);
    tensor.grad.dispose();
    tensor.grad = null;
  }
  for (const key of names) report.missing(`${title} ${key}`);
}

/** Logits, loss and gradients of all base weights: plain rows (`forward_backward`) or packed documents (`packed`). */
export async function compareBase(
  report: Report,
  device: Device,
  dir: string,
  name: 'forward_backward' | 'packed',
  precision: Precision,
): Promise<void> {
  const expected = await readArrays(path.join(dir, `${name}.safetensors`));
  const model = await loadLlama(device, path.join(dir, 'llama-tiny'), { precision, trainable: true });
  try {
    const trainables = [...model.weights()].map(([weight, tensor]) => ({ name: weight, tensor }));
    await compareModel(report, model, { name, documents: documentsOf(expected), expected, trainables });
  } finally {
    model.dispose();
  }
}

/** PEFT names gradients by its module tree, where an adapter sits below `default`. */
function gradientName(saved: string): string {
  return saved.includes('.lora_')
    ? saved.replace(/\.weight$/, '.default.weight')
    : saved.replace(/\.weight$/, '.modules_to_save.default.weight');
}

/** A PEFT adapter on a base model, as PEFT computes it. */
export async function compareAdapter(
  report: Report,
  device: Device,
  dir: string,
  set: { name: string; base: string; adapter: string; expected: string; load_in_4bit?: boolean },
  precision: Precision,
): Promise<void> {
  const { config, tensors } = await readAdapter(path.join(dir, set.adapter));
  const inputs = await readArrays(path.join(dir, 'forward_backward.safetensors'));
  const expected = await readArrays(path.join(dir, set.expected));
  const model = await loadLlama(device, path.join(dir, set.base), { precision, load_in_4bit: set.load_in_4bit });
  try {
    const trainables = attachAdapters(model, config, { saved: tensors });
    await compareModel(report, model, {
      name: set.name,
      documents: documentsOf(inputs),
      expected,
      trainables: trainables.map(({ name, tensor }) => ({ name: gradientName(name), tensor })),
    });
  } finally {
    model.dispose();
  }
}

const greedySchema = z.object({ prompt: z.array(z.number()).min(1), output: z.array(z.number()).min(2) });

/** Greedy continuation with the KV cache, token by token. */
export async function compareGreedy(report: Report, device: Device, dir: string): Promise<void> {
  const file = path.join(dir, 'greedy.json');
  const { prompt, output } = readJson(file, greedySchema);
  const count = output.length - prompt.length;
  if (count < 1)
    throw complain({
      where: `${file}: output`,
      got: `${output.length} tokens`,
      expected: `the ${prompt.length} of the prompt and more`,
      remedy: 'write the reference data again',
    });
  const model = await loadLlama(device, path.join(dir, 'llama-tiny'), { precision: 'f32' });
  try {
    const tokens: number[] = [];
    for await (const { token } of generate(model, [prompt], { max_new_tokens: count })) tokens.push(token);
    report.mismatches('greedy f32 tokens', [...prompt, ...tokens], output, BARS.greedy.mismatches);
  } finally {
    model.dispose();
  }
}

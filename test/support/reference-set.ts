import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parsePeftConfig, resolveTargets } from '../../src/formats/peft-config.ts';
import { dynamicMap } from '../../src/quant/dynamic-map.ts';
import { NF4_CODES } from '../../src/quant/nf4-codes.ts';
import { dequantized, nestedReference, nf4Reference } from '../quant/nf4-reference.ts';
import { normals } from './check-op.ts';
import { type FileTensor, randomWeights, shapesOf, writeLlama, writeTensors } from './llama-directory.ts';
import { type ConfigJson, type DocumentF64, LlamaF64, type LoraF64, type Named } from './llama-f64.ts';
import { randomDocuments } from './shape-cases.ts';

const PREFIX = 'base_model.model.';

/** What a set is made for: any Llama, and the lengths of its packed documents. */
export interface ReferenceSet {
  config: ConfigJson;
  lengths: readonly number[];
}

/**
 * Writes a directory laid out like test/reference for a Llama of any shape, computed by the double-precision one: every
 * set that the `reference` command compares. The 8-bit optimiser's, which has no model in it, is the project's own.
 */
export async function writeReferenceSet(dir: string, { config, lengths }: ReferenceSet): Promise<void> {
  const weights = randomWeights(config, 1);
  await writeLlama(path.join(dir, 'llama-tiny'), config, weights);
  const plain = new LlamaF64(config, weights);

  const rows = randomDocuments(config.vocab_size, [19, 19], 2);
  const ids = {
    input_ids: whole(
      [2, 19],
      rows.flatMap(({ input_ids }) => Array.from(input_ids)),
    ),
    labels: whole(
      [2, 19],
      rows.flatMap(({ labels }) => Array.from(labels)),
    ),
  };
  await writeExpected(path.join(dir, 'forward_backward.safetensors'), plain, rows, { inputs: ids });

  const packed = randomDocuments(config.vocab_size, lengths, 3).map(({ input_ids }) => ({ input_ids }));
  const flat = packed.flatMap(({ input_ids }) => Array.from(input_ids));
  await writeExpected(path.join(dir, 'packed.safetensors'), plain, packed, {
    // Token ids as PyTorch has them when nothing converts them.
    inputs: {
      input_ids: { shape: [flat.length], data: flat, dtype: 'I64' },
      lengths: whole([lengths.length], lengths),
    },
  });

  for (const [i, [name, options]] of Object.entries(ADAPTERS).entries()) {
    const adapter = randomAdapter(config, options, 10 + i);
    await writeAdapterSet(path.join(dir, name), config, weights, adapter, rows);
  }
  const adapter = randomAdapter(config, ADAPTERS['peft-rslora'], 30);
  await writeAdapterSet(path.join(dir, 'qlora'), config, quantised(weights), adapter, rows, 'adapter');
  await writeBnb(path.join(dir, 'llama-tiny-bnb-4bit'), config, weights);

  const prompt = Array.from(rows[0].input_ids).slice(0, 5);
  const { tokens } = plain.greedy(prompt, 12);
  writeFileSync(path.join(dir, 'greedy.json'), JSON.stringify({ prompt, output: [...prompt, ...tokens] }));

  await writeTraining(path.join(dir, 'train-rslora'), config, weights);
  await writeNf4(path.join(dir, 'nf4.safetensors'));
  copyFileSync('test/reference/adamw8bit.safetensors', path.join(dir, 'adamw8bit.safetensors'));
}

const ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const ADAPTERS = {
  'peft-lora': { r: 3, lora_alpha: 5, target_modules: ALL },
  'peft-rslora': { r: 5, lora_alpha: 3, use_rslora: true, target_modules: ALL },
  'peft-rank-pattern': {
    r: 2,
    lora_alpha: 7,
    use_rslora: true,
    target_modules: ['q_proj', 'down_proj', 'v_proj'],
    rank_pattern: { q_proj: 1, 'layers\\.0\\.mlp\\.down_proj': 7 },
    alpha_pattern: { v_proj: 2 },
  },
  'peft-modules-to-save': {
    r: 3,
    lora_alpha: 5,
    target_modules: ['q_proj', 'v_proj'],
    modules_to_save: ['lm_head'],
  },
};

interface RandomAdapter {
  json: Record<string, unknown>;
  matrices: Map<string, LoraF64>;
  /** A head that is trained as a whole. */
  head: Float64Array | null;
}

/** What B·A adds is a fraction of what its matrix gives, as in training. */
function randomAdapter(config: ConfigJson, options: Record<string, unknown>, seed: number): RandomAdapter {
  const json = { peft_type: 'LORA', lora_dropout: 0, bias: 'none', ...options };
  const shapes = shapesOf(config);
  const modules = [...shapes.keys()]
    .filter((name) => name.includes('_proj'))
    .map((name) => name.replace('.weight', ''));
  const matrices = new Map<string, LoraF64>();
  for (const [i, { module, r, scaling }] of resolveTargets(parsePeftConfig(json, 'test'), modules).entries()) {
    const [out, width] = shapes.get(`${module}.weight`)!;
    const A = normals(r * width, seed * 1000 + i).map((x) => Math.fround(x / Math.sqrt(width)));
    const B = normals(out * r, seed * 1000 + 500 + i).map((x) => Math.fround(0.05 * x));
    matrices.set(module, { r, scaling, A, B });
  }
  const wide = config.vocab_size * config.hidden_size;
  const head = options.modules_to_save
    ? normals(wide, seed).map((x) => Math.fround(x / Math.sqrt(config.hidden_size)))
    : null;
  return { json, matrices, head };
}

const whole = (shape: readonly number[], data: ArrayLike<number>): FileTensor => ({ shape, data, dtype: 'I32' });

/** The part of a name that PEFT puts between module and parameter while it trains. */
const trainedName = (name: string) =>
  name.includes('.lora_')
    ? name.replace(/\.weight$/, '.default.weight')
    : name.replace(/\.weight$/, '.modules_to_save.default.weight');

/** Logits, loss and gradients of a model, of all tensors or of those of an adapter. */
async function writeExpected(
  file: string,
  model: LlamaF64,
  documents: readonly DocumentF64[],
  options: { inputs?: Record<string, FileTensor>; adapter?: RandomAdapter },
): Promise<void> {
  const { logits, loss, gradients } = model.run(documents);
  const { vocab_size: vocabulary } = model.config;
  const tensors = new Map<string, FileTensor>([
    ...Object.entries(options.inputs ?? {}),
    ['logits', { shape: [logits.length / vocabulary, vocabulary], data: logits }],
    ['loss', { shape: [1], data: [loss] }],
  ]);
  for (const [name, data] of gradients) {
    const shape = [data.length];
    if (!options.adapter) tensors.set(`grad.${name}`, { shape, data });
    else if (name.includes('.lora_') || (options.adapter.head && name === 'lm_head.weight'))
      tensors.set(`grad.${PREFIX}${trainedName(name)}`, { shape, data });
  }
  await writeTensors(file, tensors);
}

/** An adapter as PEFT saves it. */
async function writeAdapter(dir: string, config: ConfigJson, adapter: RandomAdapter): Promise<void> {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'adapter_config.json'), JSON.stringify(adapter.json));
  const tensors = new Map<string, FileTensor>();
  for (const [module, { r, A, B }] of adapter.matrices) {
    tensors.set(`${PREFIX}${module}.lora_A.weight`, { shape: [r, A.length / r], data: A });
    tensors.set(`${PREFIX}${module}.lora_B.weight`, { shape: [B.length / r, r], data: B });
  }
  if (adapter.head)
    tensors.set(`${PREFIX}lm_head.weight`, { shape: [config.vocab_size, config.hidden_size], data: adapter.head });
  await writeTensors(path.join(dir, 'adapter_model.safetensors'), tensors);
}

async function writeAdapterSet(
  dir: string,
  config: ConfigJson,
  weights: Named,
  adapter: RandomAdapter,
  documents: readonly DocumentF64[],
  place = '.',
): Promise<void> {
  await writeAdapter(path.join(dir, place), config, adapter);
  const own: Named = adapter.head ? new Map([...weights, ['lm_head.weight', adapter.head]]) : weights;
  const model = new LlamaF64(config, own, adapter.matrices);
  await writeExpected(path.join(dir, 'expected.safetensors'), model, documents, { adapter });
}

const isQuantised = (name: string) => name.includes('_proj');

function quantise(values: Float64Array) {
  const { packed, absmax } = nf4Reference(Float32Array.from(values), 64);
  const nested = nestedReference(absmax);
  const map = dynamicMap(true);
  const scales = absmax.map((_, i) => Math.fround(map[nested.codes[i]] * nested.absmax2[i >> 8]) + nested.offset);
  return { packed, absmax, nested, map, dense: dequantized(packed, scales, values.length, 64) };
}

/** The matrices of the blocks as NF4 with double quantisation leaves them. */
function quantised(weights: Named): Named {
  const dense = ([name, values]: [string, Float64Array]): [string, Float64Array] => [
    name,
    isQuantised(name) ? Float64Array.from(quantise(values).dense) : values,
  ];
  return new Map([...weights].map(dense));
}

/** A checkpoint as transformers saves it after loading with bitsandbytes in 4 bits. */
async function writeBnb(dir: string, config: ConfigJson, weights: Named): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const quantization_config = {
    quant_method: 'bitsandbytes',
    load_in_4bit: true,
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: true,
  };
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ model_type: 'llama', ...config, quantization_config }));
  const tensors = new Map<string, FileTensor>();
  for (const [name, shape] of shapesOf(config)) {
    const values = weights.get(name)!;
    if (!isQuantised(name)) {
      tensors.set(name, { shape, data: values });
      continue;
    }
    const { packed, nested, map } = quantise(values);
    const state = {
      quant_type: 'nf4',
      blocksize: 64,
      dtype: 'float32',
      shape,
      nested_blocksize: 256,
      nested_dtype: 'float32',
      nested_offset: nested.offset,
    };
    const u8 = (data: Uint8Array, of = [data.length]): FileTensor => ({ shape: of, data, dtype: 'U8' });
    const f32 = (data: ArrayLike<number>): FileTensor => ({ shape: [data.length], data });
    tensors.set(name, u8(packed, [packed.length, 1]));
    tensors.set(`${name}.absmax`, u8(nested.codes));
    tensors.set(`${name}.quant_map`, f32(NF4_CODES));
    tensors.set(`${name}.nested_absmax`, f32(nested.absmax2));
    tensors.set(`${name}.nested_quant_map`, f32(map));
    tensors.set(`${name}.quant_state.bitsandbytes__nf4`, u8(new TextEncoder().encode(JSON.stringify(state))));
  }
  await writeTensors(path.join(dir, 'model.safetensors'), tensors);
}

/** Four steps of two micro-batches with torch.optim.AdamW's rule, in double precision. */
async function writeTraining(dir: string, config: ConfigJson, weights: Named): Promise<void> {
  const [steps, micros, rows, width] = [4, 2, 2, 13];
  const options = { lr: 2e-3, weight_decay: 0.01, betas: [0.9, 0.999], eps: 1e-8, warmup_steps: 1, max_grad_norm: 1 };
  const documents = randomDocuments(config.vocab_size, new Array<number>(steps * micros * rows).fill(width), 40);
  const shape = [steps, micros, rows, width];
  await writeTensors(
    path.join(dir, 'data.safetensors'),
    new Map([
      [
        'input_ids',
        whole(
          shape,
          documents.flatMap(({ input_ids }) => Array.from(input_ids)),
        ),
      ],
      [
        'labels',
        whole(
          shape,
          documents.flatMap(({ labels }) => Array.from(labels)),
        ),
      ],
    ]),
  );
  const adapter = randomAdapter(config, ADAPTERS['peft-rslora'], 50);
  await writeAdapter(path.join(dir, 'initial'), config, adapter);
  const model = new LlamaF64(config, weights, adapter.matrices);
  const parameters = [...adapter.matrices].flatMap(([module, { A, B }]): [string, Float64Array][] => [
    [`${module}.lora_A.weight`, A],
    [`${module}.lora_B.weight`, B],
  ]);
  const moments = new Map(parameters.map(([name, { length }]) => [name, [0, 1].map(() => new Float64Array(length))]));
  const record = { losses: [] as number[], grad_norms: [] as number[], lrs: [] as number[] };
  const [beta1, beta2] = options.betas;
  for (let step = 0; step < steps; step++) {
    const count = micros * rows;
    const { loss, gradients } = model.run(documents.slice(step * count, (step + 1) * count));
    const norm = Math.sqrt(
      parameters.reduce((sum, [name]) => gradients.get(name)!.reduce((s, g) => s + g * g, sum), 0),
    );
    const { warmup_steps: warmup } = options;
    const rate = options.lr * (step < warmup ? step / warmup : (steps - step) / (steps - warmup));
    const clip = Math.min(1, options.max_grad_norm / (norm + 1e-6));
    for (const [name, values] of parameters) {
      const [m, v] = moments.get(name)!;
      for (const [i, g] of gradients
        .get(name)!
        .map((x) => x * clip)
        .entries()) {
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        const root = Math.sqrt(v[i] / (1 - beta2 ** (step + 1)));
        values[i] -=
          rate * options.weight_decay * values[i] + (rate * m[i]) / (1 - beta1 ** (step + 1)) / (root + options.eps);
      }
    }
    record.losses.push(loss);
    record.grad_norms.push(norm);
    record.lrs.push(rate);
  }
  await writeAdapter(path.join(dir, 'final'), config, adapter);
  writeFileSync(
    path.join(dir, 'expected.json'),
    JSON.stringify({ ...options, total_steps: steps, gradient_accumulation_steps: micros, ...record }),
  );
}

/** Matrices whose elements are no multiple of a block, a byte or a word. */
async function writeNf4(file: string): Promise<void> {
  const tensors = new Map<string, FileTensor>();
  for (const [name, shape] of Object.entries({ one: [1, 1], odd: [7, 37], ragged: [130, 131], block: [64, 257] })) {
    const values = normals(shape[0] * shape[1], shape[0]);
    const { packed, absmax, nested, map, dense } = quantise(values);
    const plain = dequantized(packed, absmax, values.length, 64);
    tensors.set(`${name}.input`, { shape, data: values });
    tensors.set(`${name}.packed`, { shape: [packed.length], data: packed, dtype: 'U8' });
    tensors.set(`${name}.absmax`, { shape: [absmax.length], data: absmax });
    tensors.set(`${name}.dequant_f32`, { shape, data: plain });
    tensors.set(`${name}.nested.packed`, { shape: [packed.length], data: packed, dtype: 'U8' });
    tensors.set(`${name}.nested.absmax_u8`, { shape: [nested.codes.length], data: nested.codes, dtype: 'U8' });
    tensors.set(`${name}.nested.absmax2`, { shape: [nested.absmax2.length], data: nested.absmax2 });
    tensors.set(`${name}.nested.code2`, { shape: [256], data: map });
    tensors.set(`${name}.nested.offset`, { shape: [1], data: [nested.offset] });
    tensors.set(`${name}.nested.dequant_f32`, { shape, data: dense });
  }
  await writeTensors(file, tensors);
}

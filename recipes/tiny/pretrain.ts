/**
 * Pre-trains the embedded tiny Llama from random weights on documents of corpus.ts and writes a Hugging Face
 * directory. Every weight is trained.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { Random } from '../../src/data/random.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { parseLlamaConfig } from '../../src/formats/hf-config.ts';
import { generate } from '../../src/generate/generate.ts';
import { type Document, IGNORE_INDEX } from '../../src/models/batch.ts';
import { initialWeight, weightShapes } from '../../src/models/init.ts';
import { Llama, type Precision } from '../../src/models/llama.ts';
import { loadLlama } from '../../src/models/load.ts';
import { saveMerged } from '../../src/models/save.ts';
import { AdamW } from '../../src/optim/adamw.ts';
import { schedule } from '../../src/optim/schedules.ts';
import { Device } from '../../src/tensor/device.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { Progress } from '../../src/train/progress.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { corpusDocument, type Piece, piecesOf, textOf, yesOrNo } from './corpus.ts';
import { FastEncoder } from './fast-encode.ts';

const options = new Command()
  .option('--out <dir>', 'where the model goes', 'models/tiny')
  .option('--from <dir>', 'go on from this model instead of random weights')
  .option('--steps <n>', 'optimiser steps', Number, 3000)
  .option('--tokens <n>', 'tokens in a step', Number, 1024)
  .option('--lr <rate>', 'peak learning rate', Number, 3e-3)
  .option('--precision <p>', 'f32 or mixed', 'f32')
  .option('--seed <n>', 'seed of weights and documents', Number, 1)
  .parse()
  .opts<{
    out: string;
    from?: string;
    steps: number;
    tokens: number;
    lr: number;
    precision: Precision;
    seed: number;
  }>();

const tokenizer = loadTokenizer('models/tiny');
const encoder = new FastEncoder(tokenizer);
const [bos, end] = ['<|begin_of_text|>', '<|end_of_text|>'].map((token) => tokenizer.idOf(token) as number);
const random = new Random(options.seed);
const probeRandom = new Random(99);
const config = parseLlamaConfig(
  JSON.parse(readFileSync('recipes/tiny/config.json', 'utf8')),
  'recipes/tiny/config.json',
);
const device = await Device.open();

function randomModel(): Llama {
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of weightShapes(config)) {
    const tensor = Tensor.from(
      device,
      initialWeight(name, shape, config, () => random.normal()),
      shape,
    );
    tensor.requires_grad = true;
    weights.set(name, tensor);
  }
  return new Llama(device, config, options.precision, (name) => weights.get(name) as Tensor);
}

const { precision, from } = options;
const model = from ? await loadLlama(device, from, { precision, trainable: true }) : randomModel();
const optimizer = new AdamW(
  [...model.weights()].map(([name, tensor]) => ({ name, tensor })),
  { betas: [0.9, 0.98], weight_decay: 0.01 },
);
const trainer = new Trainer(model, {
  optimizer,
  rate: schedule('cosine', { learning_rate: options.lr, warmup_steps: 100, max_steps: options.steps }),
  max_grad_norm: 1,
  gradient_checkpointing: 'none',
  seed: options.seed,
});

/** Ids of a document; numbers that nothing foretells are no targets. */
function encodeDocument(pieces: readonly Piece[]): { input_ids: number[]; labels: number[] } {
  const input_ids = [bos];
  const labels = [bos];
  for (const { text, target } of pieces)
    for (const id of encoder.encode(text)) {
      input_ids.push(id);
      labels.push(target ? id : IGNORE_INDEX);
    }
  return { input_ids: [...input_ids, end], labels: [...labels, end] };
}

function documents(): Document[] {
  const batch: Document[] = [];
  for (let tokens = 0; tokens < options.tokens; ) {
    const document = encodeDocument(corpusDocument(random));
    batch.push(document);
    tokens += document.input_ids.length;
  }
  return batch;
}

/** Share of fresh yes-or-no statements that the model finishes rightly, digits and all. */
async function accuracy(): Promise<number> {
  const claims = Array.from({ length: 50 }, () => yesOrNo(probeRandom));
  const prompts = claims.map(({ statement }) => [bos, ...encoder.encode(textOf(piecesOf(statement)))]);
  const rest = claims.map(({ digits, truth }) => encoder.encode(` ${digits}, ${truth ? 'yes' : 'no'}\n`));
  const said: number[][] = claims.map(() => []);
  const max_new_tokens = Math.max(...rest.map((ids) => ids.length));
  for await (const { sequence, token } of generate(model, prompts, { max_new_tokens })) said[sequence].push(token);
  return rest.filter((ids, i) => ids.every((id, j) => id === said[i][j])).length / claims.length;
}

const progress = new Progress(options.steps);
for (let step = 1; step <= options.steps; step++) {
  const line = progress.line(await trainer.step([documents()]));
  if (step % 50 === 0 || step < 4) console.log(line);
  if (step % 250 === 0 || step === options.steps) {
    await saveMerged(model, options.out, { dtype: 'float16' });
    console.log(`wrote ${options.out}; statements finished rightly: ${(100 * (await accuracy())).toFixed(0)} %`);
  }
}
device.close();

/**
 * Llama-3.1-8B QLoRA training on random weights, without a download: `npm run bench:8b -- --json FILE`. The PyTorch side
 * is bench/torch/train_8b.py.
 */
import path from 'node:path';
import { Option } from 'commander';
import type { Checkpointing } from '../src/autograd/tape.ts';
import { readJsonFile } from '../src/files/json.ts';
import { makeDirectory, writeFileAtomic } from '../src/files/write-file.ts';
import { Device } from '../src/tensor/device.ts';
import { type Ceilings, type Measured, measureCeilings, measurePart, withPercent } from './8b/ceilings.ts';
import { CHECKPOINTING_MODES, listOf } from './8b/flags.ts';
import { gemmParts } from './8b/gemm-parts.ts';
import { attentionParts, elementwiseParts, lossParts } from './8b/operation-parts.ts';
import type { Setting } from './8b/part.ts';
import { printPart, printStep, type TorchReport } from './8b/print.ts';
import { benchConfig } from './8b/shapes.ts';
import { optimizerParts, weightParts } from './8b/state-parts.ts';
import { measureSteps, type StepReport } from './8b/step.ts';
import { WARM_UP_MS } from './8b/timing.ts';
import { NormalSource } from './8b/weights.ts';
import { benchCommand, wholeNumber } from './command-line.ts';

const PARTS = ['gemm', 'attention', 'loss', 'nf4', 'optimizer', 'elementwise', 'step', 'profile'] as const;

interface Flags {
  rows: number;
  seq: number;
  layers: number;
  steps: number;
  rank: number;
  gradientCheckpointing: Checkpointing[];
  parts: string[];
  json?: string;
  torch?: string;
  tiny: boolean;
}

/** What flags that are not given are with --tiny. */
const TINY = { rows: 2, seq: 32, layers: 2, rank: 4 };

const program = benchCommand(
  'bench:8b',
  'Times QLoRA training of an 8B Llama on random weights: whole steps by the clock, their parts and a profile of a step by ' +
    'GPU timestamps. Rates are held against ceilings measured in the same run; memory, dispatches and waits are counted.',
)
  .option('--rows <n>', 'rows of a step', wholeNumber, 4)
  .option('--seq <n>', 'tokens of a row', wholeNumber, 2048)
  .option('--layers <n>', 'layers of the model', wholeNumber, 32)
  .option('--steps <n>', 'timed steps, after two others', wholeNumber, 5)
  .option('--rank <n>', 'rank of the adapters', wholeNumber, 16)
  .addOption(
    new Option(
      '--gradient-checkpointing <modes>',
      `one after the other, separated by commas: ${CHECKPOINTING_MODES.join(', ')}`,
    )
      .argParser(listOf(CHECKPOINTING_MODES))
      .default(['full', 'selective'], 'full,selective'),
  )
  .addOption(
    new Option('--parts <names>', `what to measure, separated by commas: ${PARTS.join(', ')}`)
      .argParser(listOf(PARTS))
      .default([...PARTS], 'all'),
  )
  .option('--json <file>', 'write everything there, after each section')
  .option('--torch <file>', 'what bench/torch/train_8b.py wrote, to be compared with')
  .option(
    '--tiny',
    `small shapes throughout, for software drivers; percentages mean nothing then; unless given, ${Object.entries(TINY)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}`,
    false,
  );

const flags = program.parse().opts<Flags>();
if (flags.tiny)
  for (const name of Object.keys(TINY) as (keyof typeof TINY)[])
    if (program.getOptionValueSource(name) === 'default') flags[name] = TINY[name];
const { rows, seq, layers, rank } = flags;
if (flags.json) makeDirectory(path.dirname(flags.json));
const torch = flags.torch
  ? (readJsonFile(flags.torch, 'write it with bench/torch/train_8b.py') as TorchReport)
  : undefined;
const device = await Device.open();
const { name, driver } = device.capabilities;
const report: {
  device: string;
  driver: string;
  options: object;
  ceilings?: Ceilings;
  parts: Measured[];
  steps: StepReport[];
  /** The PyTorch side of the same run. */
  torch?: TorchReport;
  errors: string[];
} = { device: name, driver, options: flags, parts: [], steps: [], torch, errors: [] };
const normal = new NormalSource(device, 1, flags.tiny ? 10_000 : undefined);
const config = benchConfig(layers, flags.tiny);
const setting: Setting = { device, config, rows, seq, r: rank, normal, warmUpMs: flags.tiny ? 0 : WARM_UP_MS };

const save = () => {
  if (flags.json) writeFileAtomic(flags.json, `${JSON.stringify(report, null, 1)}\n`);
};

/** One failure must not take the rest of an expensive run with it. */
async function section(title: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const text = `${title}: ${error instanceof Error ? (error.stack ?? error.message) : error}`;
    report.errors.push(text);
    console.error(text);
    process.exitCode = 1;
  }
  save();
}

console.log(`${name}, ${driver}`);
await section('ceilings', async () => {
  const { ceilings, measured } = await measureCeilings(setting, flags.tiny);
  report.ceilings = ceilings;
  for (const one of measured) {
    report.parts.push(one);
    printPart(one);
  }
});
const parts = [gemmParts, attentionParts, lossParts, weightParts, optimizerParts, elementwiseParts].flatMap((of) =>
  of(setting),
);
for (const part of parts.filter(({ group }) => flags.parts.includes(group)))
  await section(`${part.group} ${part.name}`, async () => {
    const plain = await measurePart(setting, part);
    const measured = report.ceilings ? withPercent(plain, report.ceilings) : plain;
    report.parts.push(measured);
    printPart(measured);
  });
if (flags.parts.includes('step') || flags.parts.includes('profile'))
  await section('step', () =>
    measureSteps(
      setting,
      { checkpointing: flags.gradientCheckpointing, steps: flags.steps, profile: flags.parts.includes('profile') },
      (step) => {
        report.steps.push(step);
        printStep(step, report.torch);
        save();
      },
    ),
  );
normal.dispose();
device.close();

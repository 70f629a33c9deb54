/**
 * Follows a QLoRA run of PyTorch at Llama-3.1-8B shapes, from the same weights, adapters and data:
 * `python3 bench/torch/parity_8b.py DIR`, then `npx tsx bench/parity-8b.ts DIR`. Exit code 1 if a bar is missed.
 */
import path from 'node:path';
import { Option } from 'commander';
import type { Checkpointing } from '../src/autograd/tape.ts';
import { makeDirectory, writeFileAtomic } from '../src/files/write-file.ts';
import { Device } from '../src/tensor/device.ts';
import { CHECKPOINTING_MODES } from './8b/flags.ts';
import { compareParity, PARITY_BARS } from './8b/parity.ts';
import { benchCommand, wholeNumber } from './command-line.ts';

interface Flags {
  gradientCheckpointing: Checkpointing;
  steps: number;
  json?: string;
}

const program = benchCommand(
  'bench/parity-8b.ts',
  'Follows a QLoRA run of PyTorch from the same start; exit code 1 if losses or gradients are too far apart.',
)
  .argument('<directory>', 'what bench/torch/parity_8b.py wrote')
  .addOption(
    new Option('--gradient-checkpointing <mode>', 'of the run here').choices(CHECKPOINTING_MODES).default('full'),
  )
  .option('--steps <n>', 'steps at most', wholeNumber, 20)
  .option('--json <file>', 'write the report there')
  .parse();
const { gradientCheckpointing: checkpointing, steps, json } = program.opts<Flags>();
if (json) makeDirectory(path.dirname(json));
const device = await Device.open();
const began = performance.now();
const tell = (text: string) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);
const report = await compareParity(device, program.args[0], { checkpointing, steps }, tell);
if (json) writeFileAtomic(json, `${JSON.stringify(report, null, 1)}\n`);
const { worstLoss, worstGradient, passed } = report;
console.log(
  `largest difference of a loss ${(100 * worstLoss).toFixed(3)} % (bar ${100 * PARITY_BARS.loss} %), least cosine of a gradient ${worstGradient.cosine.toFixed(6)} (bar ${PARITY_BARS.cosine}): ${passed ? 'met' : 'NOT MET'}`,
);
device.close();
if (!passed) process.exitCode = 1;

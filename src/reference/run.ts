import { UserError } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import { compareAdapter, compareBase, compareGreedy } from './models.ts';
import { compareAdamW8bit, compareNf4 } from './quantisers.ts';
import { Report } from './report.ts';
import { compareTraining } from './training.ts';

const ADAPTERS = ['peft-lora', 'peft-rslora', 'peft-rank-pattern', 'peft-modules-to-save'].map((name) => ({
  name,
  base: 'llama-tiny',
  adapter: name,
  expected: `${name}/expected.safetensors`,
}));

const QLORA = { adapter: 'qlora/adapter', expected: 'qlora/expected.safetensors' };

/** A saved 4-bit checkpoint and the same weights quantised here must both give PEFT's numbers. */
const QUANTISED = [
  { ...QLORA, name: 'qlora (bnb checkpoint)', base: 'llama-tiny-bnb-4bit' },
  { ...QLORA, name: 'qlora (quantised here)', base: 'llama-tiny', load_in_4bit: true },
];

/**
 * Holds this program against a directory of reference data made with PyTorch, PEFT and bitsandbytes.
 *
 * A set that is missing or cannot be read counts as failed, like one that exceeds its bound.
 */
export async function runReference(device: Device, dir: string, print: (line: string) => void): Promise<Report> {
  const report = new Report(print);
  const attempt = async (name: string, compare: () => Promise<void>) => {
    try {
      await compare();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      report.refused(name, error.message);
    }
  };
  for (const precision of ['f32', 'mixed'] as const) {
    for (const name of ['forward_backward', 'packed'] as const)
      await attempt(`${name} ${precision}`, () => compareBase(report, device, dir, name, precision));
    for (const set of [...ADAPTERS, ...QUANTISED])
      await attempt(`${set.name} ${precision}`, () => compareAdapter(report, device, dir, set, precision));
  }
  await attempt('greedy', () => compareGreedy(report, device, dir));
  await attempt('train-rslora', () => compareTraining(report, device, dir));
  await attempt('nf4', () => compareNf4(report, device, dir));
  await attempt('adamw8bit', () => compareAdamW8bit(report, device, dir));
  return report;
}

import { mkdirSync } from 'node:fs';
import { Command, Option } from 'commander';
import { complain } from '../errors.ts';
import { addModelOptions } from './generate.ts';

const TYPES = ['f16', 'q8_0'] as const;

/** @throws UserError for a type that cannot be written */
export function ggufTypes(list: string | undefined): (typeof TYPES)[number][] {
  if (!list) return [];
  return list.split(',').map((name) => {
    const type = TYPES.find((known) => known === name.trim());
    if (!type) throw complain({ where: '--gguf', got: name, expected: TYPES.join(' or '), remedy: 'correct the flag' });
    return type;
  });
}

/** `export`: merges an adapter and writes other formats. */
export function exportCommand(): Command {
  return addModelOptions(
    new Command('export').description('merge an adapter into its base model and write it as safetensors or GGUF'),
  )
    .requiredOption('--out <dir>', 'directory for the files')
    .addOption(
      new Option('--merged <dtype>', 'write a merged Hugging Face directory').choices([
        'float32',
        'float16',
        'bfloat16',
      ]),
    )
    .option('--gguf <types>', 'write GGUF files: f16, q8_0 or both, separated by commas')
    .action(async (flags) => {
      const gguf = ggufTypes(flags.gguf);
      if (!flags.merged && gguf.length === 0)
        throw complain({
          where: 'export',
          got: 'neither --merged nor --gguf',
          expected: 'at least one of them',
          remedy: 'say what to write, for example --gguf q8_0',
        });
      const { Device } = await import('../tensor/device.ts');
      const { loadSession } = await import('./load-session.ts');
      const { writeOutputs } = await import('../train/outputs.ts');
      mkdirSync(flags.out, { recursive: true });
      const device = await Device.open();
      // f32 weights: merging must not round twice.
      const session = await loadSession(device, { ...flags, precision: 'f32' });
      for (const path of await writeOutputs(session, flags.model, flags.out, {
        adapter: false,
        merged: flags.merged ?? null,
        gguf,
      }))
        console.log(`wrote ${path}`);
      session.model.dispose();
      device.close();
    });
}

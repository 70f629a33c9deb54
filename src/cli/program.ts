import { Command } from 'commander';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { exportCommand } from './export.ts';
import { generateCommand } from './generate.ts';
import { referenceCommand } from './reference.ts';
import { trainCommand } from './train.ts';

/** The command line of `train.ts`; `train` is what runs when no command is named. */
export function createProgram(): Command {
  return new Command('train.ts')
    .description('dawntune: fine-tune Llama models on any GPU with TypeScript and WGSL')
    .addCommand(trainCommand(), { isDefault: true })
    .addCommand(generateCommand())
    .addCommand(exportCommand())
    .addCommand(doctorCommand())
    .addCommand(referenceCommand())
    .addCommand(demoCommand());
}

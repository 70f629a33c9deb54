import { Command } from 'commander';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { exportCommand } from './export.ts';
import { generateCommand } from './generate.ts';
import { referenceCommand } from './reference.ts';
import { trainCommand } from './train.ts';
import { tuneCommand } from './tune.ts';
import { version } from './version.ts';

const EXAMPLES = `
Examples:
  npx tsx train.ts --config recipes/tiny.yaml --max-steps 20 --output-dir outputs/trial
  npx tsx train.ts --model path/to/Llama-3.1-8B --dataset chats.jsonl --chat-template llama-3.1 --output-dir outputs/mine
  npx tsx train.ts generate --model path/to/Llama-3.1-8B --adapter outputs/mine/adapter "Is 9.11 larger than 9.9?"
  npx tsx train.ts export --model path/to/Llama-3.1-8B --adapter outputs/mine/adapter --out outputs/mine --gguf q8_0

Training is the default command: its flags (--model, --dataset, --learning-rate, --r, ...) need no command name.
  npx tsx train.ts train --help     all of them with their defaults
  npx tsx train.ts doctor           what dawntune sees of the GPU
  npx tsx train.ts tune             with train's flags: measures the fastest matrix products for that run

Flags may be written --max-steps or --max_steps. Recipes to start from are in recipes/.`;

/** The command line of `train.ts`; `train` is what runs when no command is named. */
export function createProgram(): Command {
  return new Command('train.ts')
    .description('dawntune: fine-tune Llama models on any GPU with TypeScript and WGSL')
    .usage('[command] [flags]')
    .version(version(), '--version', 'print the version')
    .addHelpText('after', EXAMPLES)
    .addCommand(trainCommand(), { isDefault: true })
    .addCommand(generateCommand())
    .addCommand(exportCommand())
    .addCommand(tuneCommand())
    .addCommand(doctorCommand())
    .addCommand(referenceCommand())
    .addCommand(demoCommand());
}

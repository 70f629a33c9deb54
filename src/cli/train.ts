import { Command, Option } from 'commander';
import { addTrainOptions, trainConfigOf } from './train-options.ts';

/** `train`: fine-tunes LoRA adapters on a ShareGPT data set. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description('fine-tune LoRA or QLoRA adapters on conversations (the default command)')
    .option('--config <recipe.yaml>', 'YAML recipe with any of the keys below; flags win over it')
    .addOption(
      new Option('--save-merged <dtype>', 'also write the merged model').choices(['float32', 'float16', 'bfloat16']),
    )
    .addOption(
      new Option('--save-gguf <types>', 'also write GGUF files of these types, separated by commas; see export --help'),
    );
  return addTrainOptions(command).action(async (flags: Record<string, string | undefined>) => {
    const { runTraining } = await import('./run-training.ts');
    const { ggufTypes } = await import('./export.ts');
    const config = trainConfigOf(flags, flags.config);
    await runTraining(config, {
      adapter: true,
      merged: (flags.saveMerged as 'float32' | 'float16' | 'bfloat16' | undefined) ?? null,
      gguf: ggufTypes(flags.saveGguf),
    });
  });
}

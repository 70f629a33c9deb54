import { Command, Option } from 'commander';
import { addTrainOptions, trainConfigOf } from './train-options.ts';

const EXAMPLES = `
Examples:
  npx tsx train.ts --config recipes/tiny.yaml --max-steps 20 --output-dir outputs/trial
  npx tsx train.ts --config recipes/llama-3.1-8b-qlora.yaml --model path/to/Llama-3.1-8B --dataset chats.jsonl \\
      --r 32 --lora-alpha 32 --gradient-checkpointing full --save-merged bfloat16 --save-gguf q8_0
  npx tsx train.ts --target-modules q_proj,v_proj --no-packing --load-in-4bit false

The keys of a recipe are the flags with underscores. The adapter goes to OUTPUT_DIR/adapter, in PEFT's format.`;

/** `train`: fine-tunes LoRA adapters on a data set of conversations. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description('fine-tune LoRA or QLoRA adapters on conversations (the default command)')
    .configureHelp({ helpWidth: 120 })
    .addHelpText('after', EXAMPLES)
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
      gguf: ggufTypes(flags.saveGguf, '--save-gguf'),
    });
  });
}

import { Command, Option } from 'commander';
import { complain } from '../errors.ts';

/** Reads a flag as a number. */
function number(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value))
    throw complain({ where: `--${flag}`, got: text, expected: 'a number', remedy: 'correct the flag' });
  return value;
}

/** Flags that say which model to load. */
export function addModelOptions(command: Command): Command {
  return command
    .option('--model <path>', 'Hugging Face directory or GGUF file of the base model', 'models/tiny')
    .option('--adapter <dir>', 'PEFT adapter directory to put on it')
    .addOption(
      new Option('--precision <precision>', 'mixed: f16 products, f32 sums').choices(['f32', 'mixed']).default('mixed'),
    )
    .option('--load-in-4bit', 'quantise the base weights to NF4', false)
    .addOption(
      new Option('--chat-template <name>', 'how the conversation becomes text')
        .choices(['chatml', 'llama-3.1', 'tokenizer'])
        .default('chatml'),
    );
}

/** `generate`: asks a model. */
export function generateCommand(): Command {
  return addModelOptions(new Command('generate').description('ask a model; the answer is streamed'))
    .argument('<question>', 'what the user says')
    .option('--max-new-tokens <n>', 'most tokens of the answer', '256')
    .option('--temperature <t>', 'above 0 samples instead of taking the most likely token', '0')
    .option('--top-k <n>', 'sample among the n most likely tokens', '0')
    .option('--top-p <p>', 'sample among the most likely tokens of this total probability', '1')
    .option('--min-p <p>', 'sample among tokens of at least this fraction of the best', '0')
    .option('--repetition-penalty <f>', 'above 1 avoids tokens that are there already', '1')
    .option('--seed <n>', 'seed of sampling', '0')
    .action(async (question: string, flags) => {
      const { Device } = await import('../tensor/device.ts');
      const { loadSession } = await import('./load-session.ts');
      const { streamAnswer } = await import('../generate/chat.ts');
      const { Random } = await import('../data/random.ts');
      const temperature = number(flags.temperature, 'temperature');
      const random = new Random(number(flags.seed, 'seed'));
      const device = await Device.open();
      const session = await loadSession(device, flags);
      const options = {
        max_new_tokens: number(flags.maxNewTokens, 'max-new-tokens'),
        do_sample: temperature !== 0,
        temperature: temperature === 0 ? 1 : temperature,
        top_k: number(flags.topK, 'top-k'),
        top_p: number(flags.topP, 'top-p'),
        min_p: number(flags.minP, 'min-p'),
        repetition_penalty: number(flags.repetitionPenalty, 'repetition-penalty'),
        uniform: () => random.uniform(),
      };
      for await (const text of streamAnswer(session, [{ role: 'user', content: question }], options))
        process.stdout.write(text);
      process.stdout.write('\n');
      session.model.dispose();
      device.close();
    });
}

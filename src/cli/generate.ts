import { Command, Option } from 'commander';
import { complain } from '../errors.ts';
import { BASE_MODEL_HELP, baseModel } from './base-model.ts';
import { warn } from './warn.ts';

/** Reads a flag as a number. */
function number(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value))
    throw complain({ where: `--${flag}`, got: text, expected: 'a number', remedy: 'correct the flag' });
  return value;
}

/** Reads a flag as a whole number up to `most`. */
function whole(text: string, flag: string, most: number): number {
  const value = number(text, flag);
  if (!Number.isInteger(value) || value < 0 || value > most)
    throw complain({
      where: `--${flag}`,
      got: text,
      expected: `a whole number from 0 to ${most}`,
      remedy: 'correct the flag',
    });
  return value;
}

/** Flags that say which model to load. */
function addModelOptions(command: Command): Command {
  return command
    .option('--model <path>', BASE_MODEL_HELP)
    .option('--adapter <dir>', 'PEFT adapter directory to put on it')
    .addOption(
      new Option('--precision <precision>', 'mixed: f16 products, f32 sums').choices(['f32', 'mixed']).default('mixed'),
    )
    .option('--load-in-4bit', 'quantise the base weights to NF4', false)
    .addOption(
      new Option(
        '--chat-template <name>',
        "how the conversation becomes text (default: as the adapter was trained, else the tokenizer's own, else chatml)",
      ).choices(['chatml', 'llama-3.1', 'tokenizer']),
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
      const { ENDED_AT_ONCE, streamAnswer } = await import('../generate/chat.ts');
      const { checkSampling } = await import('../generate/sampling.ts');
      const { Random } = await import('../data/random.ts');
      const { templateWarning } = await import('../train/templates.ts');
      const temperature = number(flags.temperature, 'temperature');
      const random = new Random(whole(flags.seed, 'seed', 2 ** 32 - 1));
      const options = {
        max_new_tokens: whole(flags.maxNewTokens, 'max-new-tokens', 1_000_000_000),
        do_sample: temperature !== 0,
        temperature: temperature === 0 ? 1 : temperature,
        top_k: number(flags.topK, 'top-k'),
        top_p: number(flags.topP, 'top-p'),
        min_p: number(flags.minP, 'min-p'),
        repetition_penalty: number(flags.repetitionPenalty, 'repetition-penalty'),
        uniform: () => random.uniform(),
      };
      // Before the model is loaded, which may take minutes.
      checkSampling(options);
      const model = baseModel(flags);
      const device = await Device.open();
      const session = await loadSession(device, { ...flags, model });
      warn(templateWarning(session.template, session.tokenizer));
      let empty = true;
      for await (const text of streamAnswer(session, [{ role: 'user', content: question }], options)) {
        empty = false;
        process.stdout.write(text);
      }
      process.stdout.write('\n');
      // Where no token was asked for the model had no part in it.
      if (empty && options.max_new_tokens > 0) console.error(ENDED_AT_ONCE);
      session.model.dispose();
      device.close();
    });
}

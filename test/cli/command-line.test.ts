import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { describe, expect, test, vi } from 'vitest';
import { runProgram } from '../../src/cli/run.ts';
import { configKeys } from '../../src/train/config-check.ts';
import { command } from '../support/command.ts';

describe('help', () => {
  test('names all commands, says that training is the default and where its flags are, and has examples', async () => {
    const { code, out } = await command('--help');
    expect(code).toBe(0);
    for (const name of ['train', 'generate', 'export', 'doctor', 'reference', 'demo'])
      expect(out).toContain(`  ${name} `);
    expect(out).toContain('train.ts train --help');
    expect(out).toContain('--config recipes/tiny.yaml --max-steps 20');
  });

  test('of train explains every key of the configuration with its default', async () => {
    const { code, out } = await command('train', '--help');
    expect(code).toBe(0);
    const text = out.replace(/\s+/g, ' ');
    for (const { name, description, choices, fallback } of configKeys()) {
      expect(out).toContain(`--${name.replaceAll('_', '-')} `);
      expect(description, name).not.toBe('');
      expect(text).toContain(description);
      for (const choice of choices) expect(out).toContain(choice);
      if (typeof fallback === 'number') expect(text).toContain(`(default: ${fallback})`);
    }
  });
});

test('--version prints that of package.json', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  for (const args of [['--version'], ['generate', '--version']])
    expect(await command(...args)).toEqual({ code: 0, out: `${version}\n`, err: [] });
});

describe('one line and exit code 1 for', () => {
  test.each<[string, string[], RegExp]>([
    ['an unknown flag', ['--frobnicate', '3'], /unknown option '--frobnicate'; see `npx tsx train.ts train --help`/],
    ['a flag with a slip', ['--learning-rat', '3'], /Did you mean --learning-rate\?/],
    ["a flag of another program's", ['--lora_rank', '3'], /unknown option '--lora-rank'; here it is called --r$/],
    ['an unknown command', ['trian', '--r', '3'], /"trian" is no command, expected one of train, generate/],
    ['a superfluous word', ['train', 'x'], /too many arguments/],
    ['a flag without its value', ['--learning-rate'], /argument missing/],
    ['a question of two words', ['generate', 'two', 'words'], /put text of several words in quotes/],
    ['no question', ['generate'], /missing required argument 'question'/],
    ['a wrong choice', ['generate', 'x', '--precision', 'f64'], /'f64' is invalid. Allowed choices are f32, mixed;/],
    ['rank 0', ['--r', '0'], /^error: --r: got 0, expected a whole number from 1 to 8192; correct r$/],
    ['a rate that is text', ['--learning-rate', 'abc'], /--learning-rate: got "abc", expected a number above 0/],
    ['a rate that is no number', ['--learning-rate', '.nan'], /--learning-rate: got NaN/],
    ['an infinite rate', ['--learning-rate', '.inf'], /--learning-rate: got Infinity/],
    ['a negative rate', ['--learning_rate=-1'], /--learning-rate: got -1/],
    ['no steps', ['--max-steps', '0'], /--max-steps: got 0, expected -1 or a whole number from 1/],
    ['half a step', ['--max-steps', '1.5'], /--max-steps: got 1.5/],
    ['a batch of 0', ['--per-device-train-batch-size', '0'], /--per-device-train-batch-size: got 0/],
    ['no epochs', ['--num-train-epochs', '0'], /--num-train-epochs: got 0/],
    ['epochs without end', ['--num-train-epochs', '1e300'], /--num-train-epochs: got 1e\+300/],
    ['a huge seed', ['--seed', '99999999999999999999'], /--seed: got 100000000000000000000, expected a whole/],
    ['a negative seed', ['--seed', '-1'], /--seed: got -1/],
    ['a window beyond memory', ['--max-seq-length', '1000000000000'], /--max-seq-length: got 1000000000000/],
    ['a rank beyond memory', ['--r', '1000000000'], /--r: got 1000000000/],
    ['neither true nor false', ['--packing', 'maybe'], /--packing: got "maybe", expected true or false/],
    ['no target modules', ['--target-modules', '[]'], /--target-modules: got \[\]/],
    [
      'a mode of checkpointing',
      ['--gradient-checkpointing', 'unsloth'],
      /expected one of auto, none, selective, full, offload/,
    ],
    ['an empty path', ['--output-dir', ''], /--output-dir: got ""/],
    ['a GGUF type', ['--save-gguf', 'q9'], /got q9/],
    ['a dtype', ['--save-merged', 'int8'], /'int8' is invalid/],
    ['nothing to export', ['export', '--out', 'x'], /none of --merged, --gguf and --gguf-adapter/],
  ])('%s', async (_, args, message) => {
    const { code, out, err } = await command(...args);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toHaveLength(1);
    expect(err[0]).toMatch(message);
    expect(err[0]).toMatch(/^error: /);
    expect(err[0]).not.toContain('\n');
  });
});

test('underscores and dashes are the same in every command, and what follows -- is text', async () => {
  for (const flag of ['--max-new-tokens', '--max_new_tokens', '--max-new_tokens']) {
    const { err } = await command('generate', 'x', flag, 'y');
    expect(err[0]).toMatch(/^error: --max-new-tokens: got y, expected a number/);
  }
  // A question may look like a flag.
  const { err } = await command('generate', '--seed', 'y', '--', '--a_b');
  expect(err[0]).toMatch(/^error: --seed: got y/);
});

test('a defect keeps its stack and has an exit code of its own', async () => {
  const program = new Command('x').addCommand(
    new Command('train').action(() => {
      throw new TypeError('inner');
    }),
    { isDefault: true },
  );
  const lines: unknown[] = [];
  const spy = vi.spyOn(console, 'error').mockImplementation((value) => void lines.push(value));
  const code = await runProgram(program, ['node', 'x']);
  spy.mockRestore();
  expect(code).toBe(70);
  expect(lines[0]).toBeInstanceOf(TypeError);
  expect(lines[1]).toMatch(/defect of dawntune/);
});

test("a refusal of the system that nobody expected is the user's to mend", async () => {
  const { code, err } = await command('demo', '--config', '/nowhere/x.yaml');
  expect([code, err]).toEqual([1, ['error: /nowhere/x.yaml: does not exist (ENOENT on open); check the path']]);
});

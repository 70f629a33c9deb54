import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { command } from '../support/command.ts';
import { copyOf, editJson, set, temporaryDirectory } from '../support/model-files.ts';

const DATA = path.join(temporaryDirectory(), 'data.jsonl');
const pair = (question: string, answer: string) =>
  JSON.stringify({
    conversations: [
      { from: 'human', value: question },
      { from: 'gpt', value: answer },
    ],
  });
const LONG = pair('a b '.repeat(100), 'c');
writeFileSync(DATA, [pair('a', 'b'), pair('c', 'd'), LONG].join('\n'));

/** A run of two small steps. */
function train(output: string, ...flags: string[]) {
  const small = ['--max-seq-length', '64', '--per_device_train_batch_size', '1', '--gradient_accumulation_steps', '1'];
  const run = ['--dataset', DATA, '--output-dir', output, '--precision', 'f32', '--on-overflow', 'skip', '--r', '2'];
  return command(...small, ...run, '--max-steps', '2', '--warmup-steps', '1', ...flags);
}

const names = (dir: string) => readdirSync(dir, { recursive: true }).map(String).sort();

describe('a run', () => {
  const output = path.join(temporaryDirectory(), 'new', 'place');

  test('shows plan, steps and summary, and leaves adapter, merged model and GGUF', async () => {
    const { code, out, err } = await train(output, '--save-merged', 'float16', '--save-gguf', 'q8_0');
    expect([code, err]).toEqual([0, []]);
    expect(out).toMatch(/^2 conversations \(1 left out\) in 1 row, 2 steps, [\d,]+ trained parameters$/m);
    const step = /^step 2\/2 {2}loss \S+ {2}lr \S+ {2}grad_norm \S+ {2}\d+ tok\/s {2}ETA 0:00 {2}mem .*B$/m;
    expect(out).toMatch(step);
    // The memory plan comes before anything is loaded.
    const plan =
      /^memory plan: gradient_checkpointing none \(auto: the fastest that fits\)\n( {2}[a-z ]+ [\d.]+ [kM]?B\n)+ {2}predicted peak +\S+ [kM]B of \S+ GB free\n2 conv/m;
    expect(out).toMatch(plan);
    expect(out).toMatch(/^trained 2 steps in .* no step skipped$/m);
    for (const name of ['adapter', 'merged', 'model-q8_0.gguf'])
      expect(out).toContain(`wrote ${path.join(output, name)}\n`);
    const expected = ['adapter/adapter_config.json', 'adapter/adapter_model.safetensors', 'merged/model.safetensors'];
    expect(names(output)).toEqual(expect.arrayContaining(expected));
    expect(names(output).filter((name) => name.includes('.part'))).toEqual([]);
  });

  test('takes the place of an earlier one, and leaves what is not its own', async () => {
    const adapter = path.join(output, 'adapter');
    const weights = () => readFileSync(path.join(adapter, 'adapter_model.safetensors'), 'hex');
    const before = weights();
    writeFileSync(path.join(adapter, 'README.md'), 'mine');
    writeFileSync(path.join(adapter, 'chat_template.jinja'), 'of another tokenizer');
    expect((await train(output, '--seed', '1')).code).toBe(0);
    expect(weights()).not.toBe(before);
    expect(readFileSync(path.join(adapter, 'README.md'), 'utf8')).toBe('mine');
    expect(existsSync(path.join(adapter, 'chat_template.jinja'))).toBe(false);
  });

  test('that cannot write in the end leaves an earlier one untouched', async () => {
    const blocked = copyOf(output);
    const adapter = path.join(blocked, 'adapter');
    rmSync(path.join(adapter, 'tokenizer.json'));
    mkdirSync(path.join(adapter, 'tokenizer.json'));
    const kept = names(blocked);
    const weights = () => readFileSync(path.join(adapter, 'adapter_model.safetensors'), 'hex');
    const before = weights();
    const { code, err } = await train(blocked, '--seed', '2');
    expect(code).toBe(1);
    expect(err).toEqual([
      `error: ${path.join(adapter, 'tokenizer.json')}: got something that is no file, expected a file to replace, or nothing; move it away or choose another output directory`,
    ]);
    expect(names(blocked)).toEqual(kept);
    expect(weights()).toBe(before);
  });

  test('says when a warmup never ends or is the whole run, and when a tokenizer lacks the turns of a template', async () => {
    const { err } = await train(path.join(temporaryDirectory(), 'o'), '--warmup-steps', '9');
    expect(err).toEqual([
      'warning: warmup_steps 9 is not below the 2 steps of this run: the learning rate never reaches its peak; lower it',
    ]);
    const nothing = 'the only step of this run has the learning rate 0, so nothing is learned';
    for (const [flag, value] of [
      ['warmup_steps', '1'],
      ['warmup_ratio', '0.03'],
    ]) {
      const output = path.join(temporaryDirectory(), 'o');
      const one = await train(output, '--max-steps', '1', '--warmup-steps', '0', `--${flag}`, value);
      expect(one.err).toEqual([`warning: ${flag} ${value}: ${nothing}; make more steps or set it to 0`]);
      expect(one.out).toMatch(/^step 1\/1 .* lr 0\.00e\+0 /m);
      expect(one.out).toMatch(/^trained 1 step in /m);
    }
    const full = await train(path.join(temporaryDirectory(), 'o'), '--max-steps', '1', '--warmup-steps', '0');
    expect(full.err).toEqual([]);
    const longer = ['--chat-template', 'llama-3.1', '--max-seq-length', '1000'];
    const other = await train(path.join(temporaryDirectory(), 'o'), ...longer);
    expect(other.err[0]).toMatch(
      /^warning: chat_template llama-3\.1: the tokenizer in models\/tiny has no <\|start_header_id\|>.*set chat_template to chatml$/,
    );
  });
});

describe('one line, exit code 1 and no output for', () => {
  const file = path.join(temporaryDirectory(), 'file');
  writeFileSync(file, 'x');
  const modelWith = (edit: (dir: string) => void) => {
    const dir = copyOf('models/tiny');
    edit(dir);
    return dir;
  };
  const withFile = (dir: string) => {
    writeFileSync(path.join(dir, 'adapter'), 'x');
    return dir;
  };
  const larger = modelWith((dir) => editJson(path.join(dir, 'config.json'), set(['vocab_size'], 100)));
  const narrow = modelWith((dir) => editJson(path.join(dir, 'config.json'), set(['max_position_embeddings'], 16)));
  const mute = modelWith((dir) => editJson(path.join(dir, 'tokenizer_config.json'), set(['chat_template'], null)));

  test.each<[string, string[], RegExp]>([
    [
      'a conversation beyond the window',
      ['--on-overflow', 'error'],
      /data\.jsonl:3: got a conversation of \d+ tokens, expected at most max_seq_length = 64/,
    ],
    [
      "a conversation beyond the model's window",
      ['--model', narrow, '--on-overflow', 'error'],
      /data\.jsonl:\d: .* max_position_embeddings = 16/,
    ],
    [
      'nothing left',
      ['--max-seq-length', '2'],
      /data\.jsonl: got no conversation with a target within max_seq_length = 2 \(of 3\)/,
    ],
    [
      'nothing left after cutting',
      ['--max-seq-length', '2', '--on-overflow', 'truncate'],
      /got no conversation with a target/,
    ],
    ['no data', ['--dataset', '/nowhere.jsonl'], /^error: \/nowhere\.jsonl: got no such file/],
    ['no model', ['--model', 'meta-llama/Llama-3.1-8B'], /got no such directory/],
    [
      'a model that is a file',
      ['--model', file],
      /file: .*expected a GGUF file; pass a GGUF file or a Hugging Face directory/,
    ],
    [
      'a tokenizer that is too large',
      ['--model', larger],
      /data\.jsonl:1: got token .* with id \d+ .* vocab_size = 100/,
    ],
    ['no chat template', ['--model', mute, '--chat-template', 'tokenizer'], /its tokenizer has no chat template; set/],
    [
      'a target that matches nothing',
      ['--target-modules', 'c_attn'],
      /"c_attn", which matches no linear layer, expected some of q_proj/,
    ],
    ['one target of two', ['--target-modules', 'q_proj,c_attn'], /"c_attn", which matches no linear layer/],
    [
      'no regular expression',
      ['--target-modules', '*('],
      /the pattern "\*\(", expected a regular expression \(Nothing to repeat\)/,
    ],
    ['an adapter on the head', ['--target-modules', 'lm_head'], /got lm_head, expected linear layers of the blocks/],
    ['a module that cannot be saved', ['--modules-to-save', 'embed_tokens'], /got embed_tokens, expected lm_head/],
  ])('%s', async (_, flags, message) => {
    const output = path.join(temporaryDirectory(), 'o');
    const { code, out, err } = await train(output, ...flags);
    expect(err).toHaveLength(1);
    expect(err[0]).toMatch(message);
    expect(err[0]).not.toContain('\n');
    expect([code, out]).toEqual([1, '']);
    expect(existsSync(output)).toBe(false);
  });

  test.each<[string, (dir: string) => string, RegExp]>([
    ['an output directory that is a file', () => file, /file: got a file, expected a directory/],
    ['one below a file', () => path.join(file, 'x'), /a part of the path is a file/],
    ['an adapter directory that is a file', withFile, /adapter: got a file/],
  ])('%s', async (_, place, message) => {
    const output = place(temporaryDirectory());
    const { code, out, err } = await train(output);
    expect([code, out, err.length]).toEqual([1, '', 1]);
    expect(err[0]).toMatch(message);
  });
});

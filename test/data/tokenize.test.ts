import { describe, expect, it } from 'vitest';
import { CHAT_TEMPLATES, type Message } from '../../src/data/chat-template.ts';
import { IGNORED, type Sample, tokenizeConversation, tokenizeDataset } from '../../src/data/tokenize.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { UserError } from '../../src/errors.ts';
import { writeTinyTokenizer } from '../support/tiny-tokenizer.ts';

const tokenizer = loadTokenizer(writeTinyTokenizer());
const { chatml } = CHAT_TEMPLATES;
const llama = CHAT_TEMPLATES['llama-3.1'];

const system = (content: string): Message => ({ role: 'system', content });
const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });

/** The texts of the runs of targets. */
function targets({ input_ids, labels }: Sample): string[] {
  const runs: number[][] = [];
  labels.forEach((label, i) => {
    if (label === IGNORED) return;
    expect(label).toBe(input_ids[i]);
    if (i === 0 || labels[i - 1] === IGNORED) runs.push([]);
    runs.at(-1)!.push(label);
  });
  return runs.map((run) => tokenizer.decode(run));
}

const CONVERSATIONS: [string, Message[]][] = [
  ['one turn', [user('hello'), assistant('hello user')]],
  ['several turns', [user('a'), assistant('b'), user('c'), assistant('d\n\ne'), user('last')]],
  ['a system turn', [system('be brief'), user('a'), assistant('b')]],
  ['unicode', [user('日本 🙂'), assistant('👩‍👩‍👧 naïve café')]],
  ['empty content', [user(''), assistant(''), user('x'), assistant('y')]],
  ['two answers in a row', [user('a'), assistant('b'), assistant('c')]],
  ['an answer first', [assistant('welcome'), user('a'), assistant('b')]],
  [
    'content like the template',
    [
      user('<|im_start|>assistant\nno<|im_end|>\n<|start_header_id|>assistant<|end_header_id|>\n\nno<|eot_id|>'),
      assistant('b<|im_end|>\n<|im_start|>user\nc<|eot_id|>d'),
      user('assistant\nb'),
      assistant('b'),
    ],
  ],
];

describe.each([
  [chatml, '<|im_end|>'],
  [llama, '<|eot_id|>'],
] as const)('tokenizeConversation with $name', (template, end) => {
  it.each(CONVERSATIONS)('learns exactly the answers and their ends: %s', (_, messages) => {
    const sample = tokenizeConversation(tokenizer, template, messages, { train_on: 'assistant' });
    const answers = messages.filter(({ role }) => role === 'assistant').map(({ content }) => content + end);
    expect(targets(sample)).toEqual(answers);
    expect(sample.labels[0]).toBe(IGNORED);
  });

  it('learns everything but the first token on demand', () => {
    const sample = tokenizeConversation(tokenizer, template, [user('a'), assistant('b')], { train_on: 'all' });
    expect(sample.labels[0]).toBe(IGNORED);
    expect(sample.labels.slice(1)).toEqual(sample.input_ids.slice(1));
  });
});

describe('tokenizeConversation', () => {
  it('gives the ids of the whole text', () => {
    const { input_ids } = tokenizeConversation(tokenizer, chatml, [user('a\n'), assistant('b')], {
      train_on: 'assistant',
    });
    expect([...input_ids]).toEqual(
      tokenizer.encode('<|im_start|>user\na\n<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n'),
    );
  });

  it('trims what the Llama template trims', () => {
    const sample = tokenizeConversation(tokenizer, llama, [user('a'), assistant('\n b \n')], { train_on: 'assistant' });
    expect(targets(sample)).toEqual(['b<|eot_id|>']);
  });

  it('refuses an answer that grows together with its header', () => {
    const messages = [user('a'), assistant('\nb')];
    expect(() => tokenizeConversation(tokenizer, chatml, messages, { train_on: 'assistant' })).toThrow(
      /across the border/,
    );
    expect(() => tokenizeConversation(tokenizer, chatml, messages, { train_on: 'all' })).not.toThrow();
  });

  it('refuses a template that rewrites earlier turns', () => {
    const source = '{{ messages | length }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}';
    expect(() =>
      tokenizeConversation(tokenizer, { name: 'odd', source }, [user('a'), assistant('b'), user('c')], {
        train_on: 'assistant',
      }),
    ).toThrow(/chat template odd: .*appends turn by turn/);
  });

  it('learns the whole answer where a template has no token for the end', () => {
    const source =
      '{% for m in messages %}{{ m.role + ": " + m.content + "\n" }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}';
    const sample = tokenizeConversation(tokenizer, { name: 'bare', source }, [user('a'), assistant('"b"')], {
      train_on: 'assistant',
    });
    expect(targets(sample)).toEqual(['"b"\n']);
  });
});

describe('tokenizeDataset', () => {
  const short = { messages: [user('a'), assistant('b')], line: 2 };
  const long = { messages: [user('a'), assistant('xyz '.repeat(20))], line: 5 };
  const lateAnswer = { messages: [user('xyz '.repeat(20)), assistant('b')], line: 6 };
  const options = { train_on: 'assistant', max_seq_length: 60, file: 'data.jsonl' } as const;
  const length = tokenizeConversation(tokenizer, chatml, long.messages, options).input_ids.length;

  it('refuses, cuts or leaves out what is too long', () => {
    const run = (on_overflow: 'error' | 'truncate' | 'skip') =>
      tokenizeDataset(tokenizer, chatml, [short, long, lateAnswer], { ...options, on_overflow });
    expect(() => run('error')).toThrow(
      `data.jsonl:5: got a conversation of ${length} tokens, expected at most max_seq_length = 60; raise`,
    );
    const cut = run('truncate');
    expect(cut).toMatchObject({ truncated: 1, skipped: 1 });
    expect(cut.samples.map(({ input_ids }) => input_ids.length)).toEqual([cut.samples[0].input_ids.length, 60]);
    expect(cut.samples[1].labels.length).toBe(60);
    expect(run('skip')).toMatchObject({ truncated: 0, skipped: 2, samples: { length: 1 } });
  });

  it('names the line of what it refuses, and an empty result', () => {
    const bad = { messages: [user('a'), assistant('\nb')], line: 9 };
    const tokenize = (conversation: typeof bad, on_overflow: 'error' | 'skip') => () =>
      tokenizeDataset(tokenizer, chatml, [conversation], { ...options, on_overflow });
    expect(tokenize(bad, 'error')).toThrow(UserError);
    expect(tokenize(bad, 'error')).toThrow(/^data\.jsonl:9: /);
    expect(tokenize(long, 'skip')).toThrow(/^data\.jsonl: got no conversation/);
  });

  it("keeps to the model's window and vocabulary, too", () => {
    const limits = { max_position_embeddings: 50, vocab_size: 1000 };
    const run = (on_overflow: 'error' | 'truncate' | 'skip', model = limits) =>
      tokenizeDataset(tokenizer, chatml, [short, long], { ...options, on_overflow, model });
    expect(() => run('error')).toThrow(
      `data.jsonl:5: got a conversation of ${length} tokens, expected at most the model's max_position_embeddings = 50; shorten`,
    );
    expect(run('truncate').samples[1].input_ids.length).toBe(50);
    expect(run('skip').samples.length).toBe(1);
    // The smaller limit counts.
    expect(() => run('error', { ...limits, max_position_embeddings: 100 })).toThrow('at most max_seq_length = 60');
    expect(() => run('skip', { ...limits, vocab_size: 60 })).toThrow(
      /^data\.jsonl:2: got token ".+" with id \d+ from the tokenizer in .*, expected ids below the model's vocab_size = 60/,
    );
  });
});

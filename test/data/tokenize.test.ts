import { describe, expect, it } from 'vitest';
import { CHAT_TEMPLATES, type ChatTemplate, type Message } from '../../src/data/chat-template.ts';
import { Random } from '../../src/data/random.ts';
import { IGNORED, type Sample, tokenizeConversation, tokenizeDataset } from '../../src/data/tokenize.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { UserError } from '../../src/errors.ts';
import { SPECIAL_TOKENS, tinyTokenizerJson, writeTinyTokenizer } from '../support/tiny-tokenizer.ts';

const tokenizer = loadTokenizer(writeTinyTokenizer());
const { chatml } = CHAT_TEMPLATES;
const llama = CHAT_TEMPLATES['llama-3.1'];

const system = (content: string): Message => ({ role: 'system', content });
const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });

/** Has no special token for the end of a turn. */
const BARE = {
  name: 'bare',
  source:
    '{% for m in messages %}{{ m.role + ": " + m.content + "\n" }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}',
};

/** By id. A token of this vocabulary has one character for each byte of its text, and special ones are plain ASCII. */
const TOKEN_BYTES: number[] = [];
for (const [token, id] of Object.entries((tinyTokenizerJson().model as { vocab: Record<string, number> }).vocab))
  TOKEN_BYTES[id] = token.length;
TOKEN_BYTES.push(...SPECIAL_TOKENS.map(({ length }) => length));

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

  it('learns a token that an answer shares with its header', () => {
    const messages = [user('a'), assistant('\nb'), user('c'), assistant('d')];
    const sample = tokenizeConversation(tokenizer, chatml, messages, { train_on: 'assistant' });
    expect(targets(sample)).toEqual(['\n\nb<|im_end|>', 'd<|im_end|>']);
    expect([...sample.input_ids]).toEqual(
      tokenizer.encode(
        '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n\nb<|im_end|>\n' +
          '<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\nd<|im_end|>\n',
      ),
    );
  });

  it('learns the tokens that hold a character of an answer or its end, and no others', () => {
    const random = new Random(11);
    const pieces = ['\n', '\n\n', ' ', '  ', '\t', '\r\n', 'hello', 'user', '日本', '🙂', 'é', '.', '\u00a0', '\ufffd'];
    const content = () => Array.from({ length: random.below(6) }, () => pieces[random.below(pieces.length)]).join('');
    let shared = 0;
    for (let round = 0; round < 200; round++) {
      const messages = Array.from({ length: 1 + random.below(5) }, (_, i) =>
        i % 2 === 0 ? user(content()) : assistant(content()),
      );
      for (const [template, end, after] of [
        [chatml, '<|im_end|>', '\n'],
        [BARE, '\n', ''],
      ] as const) {
        const sample = tokenizeConversation(tokenizer, template, messages, { train_on: 'assistant' });
        const learned: boolean[] = [];
        for (const { role, content } of messages) {
          const header = template === BARE ? `${role}: ` : `<|im_start|>${role}\n`;
          const turn = header + content + end + after;
          const bytes = (text: string) => Buffer.byteLength(text);
          const answer = [bytes(header), bytes(header + content + end)];
          for (let i = 0; i < bytes(turn); i++) learned.push(role === 'assistant' && i >= answer[0] && i < answer[1]);
        }
        let at = 0;
        const expected = [...sample.input_ids].map((id, i) => {
          const length = TOKEN_BYTES[id];
          const held = learned.slice(at, at + length);
          at += length;
          if (held.includes(true) && held.includes(false)) shared++;
          return i > 0 && held.includes(true) ? id : IGNORED;
        });
        expect(at).toBe(learned.length);
        expect([...sample.labels], JSON.stringify(messages)).toEqual(expected);
      }
    }
    expect(shared).toBeGreaterThan(50);
  });

  it('refuses a shared token of a tokenizer that does not give its text back', () => {
    const lossy: typeof tokenizer = Object.assign(Object.create(tokenizer), { decode: () => 'x' });
    const tokenize = (answer: string) =>
      tokenizeConversation(lossy, chatml, [user('a'), assistant(answer)], { train_on: 'assistant' });
    expect(() => tokenize('\nb')).toThrow(/a token across the border of an answer, near "\|>assistant\\n\\nb/);
    expect(() => tokenize('b')).not.toThrow();
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
    const sample = tokenizeConversation(tokenizer, BARE, [user('a'), assistant('"b"')], { train_on: 'assistant' });
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
    const picky = { name: 'picky', source: "{{ raise_exception('no') }}" };
    const tokenize = (template: ChatTemplate) => () =>
      tokenizeDataset(tokenizer, template, [long], { ...options, on_overflow: 'skip' });
    expect(tokenize(picky)).toThrow(UserError);
    expect(tokenize(picky)).toThrow(/^data\.jsonl:5: chat template picky: /);
    expect(tokenize(chatml)).toThrow(/^data\.jsonl: got no conversation/);
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

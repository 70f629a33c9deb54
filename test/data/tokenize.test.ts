import { describe, expect, it } from 'vitest';
import { CHAT_TEMPLATES, type ChatTemplate, type Message } from '../../src/data/chat-template.ts';
import { Random } from '../../src/data/random.ts';
import { IGNORED, type Sample, tokenizeConversation, tokenizeDataset } from '../../src/data/tokenize.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { UserError } from '../../src/errors.ts';
import { llama2TokenizerJson, writeLlama2Tokenizer } from '../support/llama2-tokenizer.ts';
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
    const pieces = [
      '\n',
      '\n\n',
      ' ',
      '  ',
      '\t',
      '\r\n',
      'hello',
      'user',
      '日本',
      '🙂',
      'é',
      '.',
      '\u00a0',
      '\ufffd',
      '\ud83d',
    ];
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

  it('learns all tokens of a last character that is cut, and no others of a first one', () => {
    const json = tinyTokenizerJson() as { model: { vocab: Record<string, number>; merges: string[] } };
    const bytes = Object.keys(json.model.vocab);
    // The last byte of 。 (E3 80 82) with the first of 🙂 (F0 9F 99 82), and the last of : with the first of 。
    const pairs = [`${bytes[0x82]} ${bytes[0xf0]}`, `${bytes[0x9a]} ${bytes[0xe3]}`];
    json.model.merges = [...json.model.merges, ...pairs];
    const added = json as unknown as { added_tokens: { id: number }[] };
    for (const token of added.added_tokens) token.id += pairs.length;
    for (const pair of pairs) json.model.vocab[pair.replace(' ', '')] = Object.keys(json.model.vocab).length;
    const own = loadTokenizer(writeTinyTokenizer(undefined, undefined, { ...json, post_processor: null }));
    const source =
      "{% for m in messages %}{{ ('答:' if m.role == 'assistant' else '') + m.content + '。' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '答:' }}{% endif %}";
    const mask = (template: ChatTemplate, ...messages: Message[]) => {
      const sample = tokenizeConversation(own, template, messages, { train_on: 'assistant' });
      return [...sample.input_ids].map((id, i) => `${id.toString(16)}${sample.labels[i] === id ? '*' : ''}`).join(' ');
    };
    expect(mask({ name: 'cut', source }, user('a'), assistant('b'), user('🙂'))).toBe(
      '61 e3 80 82 e7 ad 94 3a 62* e3* 80* 10a* 9f 99 82 e3 80 82',
    );
    expect(mask({ name: 'cut', source: source.replaceAll(':', '：') }, user('a'), assistant('。'))).toBe(
      '61 e3 80 82 e7 ad 94 ef bc 10b* 80* 82* e3* 80* 82*',
    );
  });

  it.each(['\ud83d', 'e\u0301', 'é'])('places answers behind %j, which is normalised', (content) => {
    const nfc = loadTokenizer(
      writeTinyTokenizer(undefined, undefined, { ...tinyTokenizerJson(), normalizer: { type: 'NFC' } }),
    );
    const messages = [user(content), assistant('\nb'), user(content), assistant(`${content}d`), user('x')];
    const sample = tokenizeConversation(nfc, chatml, messages, { train_on: 'assistant' });
    const answer = Buffer.from(content).toString().normalize('NFC');
    expect(targets(sample)).toEqual(['\n\nb<|im_end|>', `${answer}d<|im_end|>`]);
  });

  it('refuses a border that a normalisation goes across', () => {
    const nfc = loadTokenizer(
      writeTinyTokenizer(undefined, undefined, { ...tinyTokenizerJson(), normalizer: { type: 'NFC' } }),
    );
    const touching = { name: 'touching', source: BARE.source.replaceAll(': ', ': e') };
    const tokenize = (answer: string) =>
      tokenizeConversation(nfc, touching, [user('a'), assistant(answer)], { train_on: 'assistant' });
    expect(() => tokenize('\u0301b')).toThrow(
      /tokens that write the text across the border of an answer differently, near "assistant: e\u0301b\\n", .*; remove/,
    );
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

describe("tokenizeConversation with a tokenizer in Llama 2's form", () => {
  const json = llama2TokenizerJson();
  const llama2 = loadTokenizer(writeLlama2Tokenizer());
  const own = { bos: '<s>', end: '</s>' };
  /** What a template writes before and after a content, and where the end of an answer is learned. */
  const templates: [ChatTemplate, (role: string) => { header: string; end: string; after: string }][] = [
    [
      {
        name: 'llama-2',
        source:
          "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}" +
          "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
      },
      (role) =>
        role === 'user'
          ? { header: `${own.bos}[INST] `, end: ' [/INST]', after: '' }
          : { header: '', end: ` ${own.end}`, after: '' },
    ],
    [
      {
        name: 'zephyr',
        source:
          "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}" +
          "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}",
      },
      (role) => ({ header: `<|${role}|>\n`, end: own.end, after: '\n' }),
    ],
    [chatml, (role) => ({ header: `<|im_start|>${role}\n`, end: '<|im_end|>\n', after: '' })],
  ];

  /** By id. */
  const length: number[] = [];
  for (const [token, id] of Object.entries((json.model as { vocab: Record<string, number> }).vocab))
    length[id] = /^<0x..>$/.test(token) ? 1 : Buffer.byteLength(token.replaceAll('▁', ' '));

  it.each(templates)('learns the tokens that hold a character of an answer or its end: $name', (template, partsOf) => {
    const random = new Random(5);
    const pieces = ['\n', ' ', '  ', 'hello', ' user', '日本', '🙂', 'é', '.', '▁', '</s>', '\ud83d', 'a', '[', '>'];
    const content = () => Array.from({ length: random.below(7) }, () => pieces[random.below(pieces.length)]).join('');
    for (let round = 0; round < 200; round++) {
      const messages = Array.from({ length: 2 + random.below(6) }, (_, i) =>
        i % 2 === 0 ? user(content()) : assistant(content()),
      );
      const sample = tokenizeConversation(llama2, template, messages, { train_on: 'assistant' });
      let text = '';
      /** For every character of the text. */
      const answers: boolean[] = [];
      for (const { role, content } of messages) {
        const { header, end, after } = partsOf(role);
        const lead = template.name === 'llama-2' && role === 'assistant' ? ' ' : '';
        for (const [part, learned] of [
          [header, false],
          [lead + content + end, role === 'assistant'],
          [after, false],
        ] as const) {
          text += part;
          while (answers.length < text.length) answers.push(learned);
        }
      }
      // The same for every byte of the tokens: a space of the tokenizer's own goes with what follows it.
      const learned: boolean[] = [];
      let [at, begins] = [0, true];
      for (const part of text.split(/(<s>|<\/s>)/)) {
        const special = part === '<s>' || part === '</s>';
        for (const character of part) {
          if (begins && !special) learned.push(answers[at]);
          begins = special;
          // This tokenizer makes no difference between ▁ and a space.
          const bytes = character === '▁' ? 1 : Buffer.byteLength(character);
          for (let i = 0; i < bytes; i++) learned.push(answers[at]);
          at += character.length;
        }
      }
      at = 0;
      const expected = [...sample.input_ids].map((id, i) => {
        const held = learned.slice(at, at + length[id]);
        at += length[id];
        return i > 0 && held.includes(true) ? id : IGNORED;
      });
      expect(at).toBe(learned.length);
      expect([...sample.labels], JSON.stringify(messages)).toEqual(expected);
    }
  });

  it('learns the whole of every answer', () => {
    const messages = [user('hello'), assistant('hello user.'), user('a'), assistant(' b')];
    const learned = (template: ChatTemplate) => {
      const { labels } = tokenizeConversation(llama2, template, messages, { train_on: 'assistant' });
      return llama2.decode(labels.filter((label) => label !== IGNORED));
    };
    expect(templates.map(([template]) => learned(template))).toEqual([
      'hello user. </s>  b </s>',
      'hello user.</s> b</s>',
      'hello user.<|im_end|>\n b<|im_end|>\n',
    ]);
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

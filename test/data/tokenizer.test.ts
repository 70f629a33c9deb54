import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { StreamDecoder } from '../../src/data/stream-decoder.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { UserError } from '../../src/errors.ts';
import { writeLlama2Tokenizer } from '../support/llama2-tokenizer.ts';
import { SPECIAL_TOKENS, TINY_VOCABULARY, tinyTokenizerConfig, writeTinyTokenizer } from '../support/tiny-tokenizer.ts';

const tokenizer = loadTokenizer(writeTinyTokenizer());
const first = TINY_VOCABULARY - SPECIAL_TOKENS.length;

describe('loadTokenizer', () => {
  it('encodes bytes and merges, and adds no special token', () => {
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.encode('hello é')).toEqual([259, 32, 0xc3, 0xa9]);
    expect(tokenizer.encode('a\n\nb')).toEqual([97, 264, 98]);
  });

  it('recognises special tokens in the text', () => {
    expect(tokenizer.encode('a<|im_end|>\n')).toEqual([97, first + 1, 10]);
    expect(tokenizer.decode([97, first + 1, 10])).toBe('a<|im_end|>\n');
    expect(tokenizer.decode([97, first + 1, 10], { skipSpecial: true })).toBe('a\n');
  });

  it.each(["wait , what ? do n't ! it 's", '  two  spaces \r\n\n\n\t', '日本 👩‍👩‍👧 é', '\u0000\ufeffx'])(
    'round trips %j',
    (text) => {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    },
  );

  it('gives the bytes of tokens, also those of a part of a character', () => {
    const bytes = (from: typeof tokenizer, text: string) =>
      Buffer.concat(from.encode(text).map((id) => from.bytesOf(id))).toString();
    for (const text of ['hello é 日本 🙂\n\n', '<|im_end|>Ċ\u0000\u007f\u00a0\u00ad'])
      expect(bytes(tokenizer, text)).toBe(text);
    expect([...tokenizer.bytesOf(0xc3)]).toEqual([0xc3]);
    expect(() => tokenizer.bytesOf(TINY_VOCABULARY)).toThrow(/token id 273/);
    // Llama 2's form puts a space in front, and takes ▁ for one.
    const llama2 = loadTokenizer(writeLlama2Tokenizer());
    expect(bytes(llama2, 'hello 日</s>▁<0x41>')).toBe(' hello 日</s>  <0x41>');
  });

  it('knows its special tokens, as strings and as objects', () => {
    expect(tokenizer.bos).toEqual({ text: '<|begin_of_text|>', id: first + 2 });
    expect(tokenizer.eos).toEqual({ text: '<|eot_id|>', id: first + 4 });
    expect(tokenizer.pad).toBeNull();
    expect(tokenizer.idOf('<|im_end|>')).toBe(first + 1);
    expect(tokenizer.idOf('nowhere')).toBeNull();
    expect(tokenizer.decode([])).toBe('');
    expect(() => tokenizer.decode([TINY_VOCABULARY])).toThrow(/token id 273/);
  });

  it('finds the chat template in the configuration, in its named list, and in its own file', () => {
    expect(tokenizer.chatTemplate).toBeNull();
    const config = tinyTokenizerConfig();
    expect(loadTokenizer(writeTinyTokenizer(undefined, { ...config, chat_template: 'A' })).chatTemplate).toBe('A');
    const named = [
      { name: 'tool_use', template: 'T' },
      { name: 'default', template: 'D' },
    ];
    const directory = writeTinyTokenizer(undefined, { ...config, chat_template: named });
    expect(loadTokenizer(directory).chatTemplate).toBe('D');
    writeFileSync(path.join(directory, 'chat_template.jinja'), 'J');
    expect(loadTokenizer(directory).chatTemplate).toBe('J');
  });

  it.each([
    ['tokenizer.json', null, /no such file/],
    ['tokenizer_config.json', null, /no such file/],
    ['tokenizer.json', '{"model":', /JSON/],
    ['tokenizer.json', '{"added_tokens":[]}', /model/],
    ['tokenizer.json', '{"added_tokens":[],"model":{"type":"BPE"}}', /fast tokenizer/],
    ['tokenizer.json', '{"model":{"type":"BPE","vocab":{"a":0}}}', /a BPE tokenizer without merges/],
    [
      'tokenizer.json',
      '{"model":{"type":"BPE","vocab":{"a":0},"merges":[1]}}',
      /model.merges: expected a list of pairs/,
    ],
    [
      'tokenizer.json',
      '{"model":{"type":"BPE","vocab":"a","merges":[]}}',
      /model.vocab: expected tokens with their ids/,
    ],
    ['tokenizer.json', '{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}', /model.vocab/],
    ['tokenizer.json', '{"model":{"type":"Magic","vocab":{"a":0},"merges":[]}}', /model.type/],
    ['tokenizer.json', 'null', /content/],
    ['tokenizer_config.json', '{"bos_token":3}', /bos_token/],
    ['tokenizer_config.json', '{"pad_token":"<pad>"}', /pad_token "<pad>"/],
  ])('refuses %s being %j in one line', (name, content, message) => {
    const directory = writeTinyTokenizer(mkdtempSync(path.join(os.tmpdir(), 'dawntune-tokenizer-')));
    const file = path.join(directory, name);
    if (content === null) rmSync(file);
    else writeFileSync(file, content);
    let error: unknown;
    try {
      loadTokenizer(directory);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
    expect((error as UserError).message).toContain(file);
    expect((error as UserError).message).not.toContain('\n');
  });

  it('tells a directory that is not there from one without files', () => {
    expect(() => loadTokenizer('meta-llama/Llama-3.1-8B')).toThrow(
      /^meta-llama\/Llama-3\.1-8B: got no such directory.*hf download/,
    );
  });

  it('takes an empty chat template for none', () => {
    const directory = writeTinyTokenizer(mkdtempSync(path.join(os.tmpdir(), 'dawntune-tokenizer-')));
    writeFileSync(path.join(directory, 'tokenizer_config.json'), '{"chat_template":""}');
    expect(loadTokenizer(directory).chatTemplate).toBeNull();
  });

  it('gives back every text of the reference cases of the published tokenizer', () => {
    const cases = JSON.parse(readFileSync('test/reference/llama31-tokens.json', 'utf8')) as { text: string }[];
    for (const { text } of cases) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});

describe('StreamDecoder', () => {
  const stream = (ids: number[], skipSpecial = false) => {
    const decoder = new StreamDecoder(tokenizer, { skipSpecial });
    return [...ids.map((id) => decoder.push(id)), decoder.flush()];
  };

  it('holds a character back until its last byte', () => {
    expect(stream(tokenizer.encode('a🙂é!'))).toEqual(['a', '', '', '', '🙂', '', 'é', '!', '']);
  });

  it('shows bytes that never become a character as soon as that is certain', () => {
    expect(stream([0xf0, 0x9f, 97])).toEqual(['', '', '\uFFFDa', '']);
    expect(stream([0x80, 0x80, 0x80, 0xc3, 0xa9])).toEqual(['', '\uFFFD', '\uFFFD', '\uFFFD', 'é', '']);
    expect(stream([97, 0xe2, 0x82])).toEqual(['a', '', '', '\uFFFD']);
  });

  it('gives the whole text for any order of bytes and special tokens', () => {
    let seed = 1;
    for (let round = 0; round < 200; round++) {
      const ids = Array.from({ length: 24 }, () => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        const pick = (seed >>> 8) % 300;
        return pick < TINY_VOCABULARY ? pick : [0xf0, 0x9f, 0x99, 0x82][pick % 4];
      });
      for (const skipSpecial of [false, true]) {
        expect(stream(ids, skipSpecial).join('')).toBe(tokenizer.decode(ids, { skipSpecial }));
      }
    }
  });

  it('can be used again after flush', () => {
    const decoder = new StreamDecoder(tokenizer);
    decoder.push(0xf0);
    expect(decoder.flush()).toBe('\uFFFD');
    expect(decoder.push(97)).toBe('a');
  });
});

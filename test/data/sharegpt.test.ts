import { mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConversations } from '../../src/data/sharegpt.ts';
import { UserError } from '../../src/errors.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'dawntune-sharegpt-'));
const file = path.join(directory, 'data.jsonl');

function read(text: string | Uint8Array) {
  writeFileSync(file, text);
  return readConversations(file);
}

const good = '{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}';
const messages = [
  { role: 'user', content: 'a' },
  { role: 'assistant', content: 'b' },
];

describe('readConversations', () => {
  it('reads both forms and all names of roles, keeping lines past blank ones', () => {
    const text = [
      good,
      '',
      '{"id":7,"messages":[{"role":"system","content":"é\\u2028 "},{"role":"assistant","content":""}],"x":1}',
      '   ',
      '{"conversations":[{"from":"system","value":"s","weight":0},{"from":"user","value":"u"},{"from":"assistant","value":"v"}]}',
    ].join('\r\n');
    expect(read(text)).toEqual([
      { line: 1, messages },
      {
        line: 3,
        messages: [
          { role: 'system', content: 'é\u2028 ' },
          { role: 'assistant', content: '' },
        ],
      },
      {
        line: 5,
        messages: [
          { role: 'system', content: 's' },
          { role: 'user', content: 'u' },
          { role: 'assistant', content: 'v' },
        ],
      },
    ]);
  });

  it('accepts a byte order mark, and no newline at the end', () => {
    expect(read(`\ufeff${good}`)).toEqual([{ line: 1, messages }]);
    expect(read(`${good}\n${good}\n`).map(({ line }) => line)).toEqual([1, 2]);
  });

  it.each([
    ['cut JSON', '{"conversations":[', 2, /malformed JSON/],
    ['a list', '[]', 2, /neither/],
    ['a number', '3', 2, /neither/],
    ['other keys', '{"prompt":"a"}', 2, /neither "conversations" nor "messages"/],
    ['no list', '{"conversations":"a"}', 2, /conversations.*array/],
    ['an unknown role', '{"conversations":[{"from":"tool","value":"a"}]}', 2, /conversations.*unknown role "tool"/],
    ['a role of Object', '{"messages":[{"role":"constructor","content":"a"}]}', 2, /unknown role "constructor"/],
    ['no text', '{"conversations":[{"from":"gpt"}]}', 2, /conversations.*value/],
    ['text that is none', '{"messages":[{"role":"user","content":["a"]}]}', 2, /messages.*content.*string/],
    ['no assistant', '{"messages":[{"role":"user","content":"a"}]}', 2, /1 turns without one of the assistant/],
    ['no turns', '{"messages":[]}', 2, /without one of the assistant/],
  ])('refuses %s, in one line with its place', (_, line, place, message) => {
    let error: unknown;
    try {
      read(`${good}\n${line}\n${good}\n`);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    const text = (error as UserError).message;
    expect(text.startsWith(`${file}:${place}: got `)).toBe(true);
    expect(text).toMatch(message);
    expect(text).toMatch(/; (correct|add)/);
    expect(text).not.toContain('\n');
  });

  it.each(['', '\n\n  \n'])('refuses the empty file %j', (text) => {
    expect(() => read(text)).toThrow(`${file}:1: got no conversation`);
  });

  it('refuses a missing file and a directory', () => {
    expect(() => readConversations(path.join(directory, 'none.jsonl'))).toThrow(/none\.jsonl: got no such file/);
    expect(() => readConversations(directory)).toThrow(/got a directory/);
  });

  it('reads lines across the borders of its pieces', () => {
    // Two-byte characters in lines of odd lengths: borders fall inside of both.
    const texts = Array.from({ length: 4000 }, (_, i) => 'é'.repeat(300 + (i % 7)) + 'x'.repeat(i % 3));
    const line = (text: string) => JSON.stringify({ conversations: [{ from: 'gpt', value: text }] });
    const conversations = read(`\ufeff${texts.map(line).join('\n')}`);
    expect(conversations.map(({ messages: [turn] }) => turn.content)).toEqual(texts);
    expect(conversations.at(-1)?.line).toBe(texts.length);
    const long = 'é'.repeat(2_000_000);
    expect(read(`${good}\n${line(long)}\n`)[1].messages[0].content).toBe(long);
  });

  it.each<[string, Uint8Array, RegExp]>([
    [
      'Latin-1',
      Buffer.from(`${good}\n${good.replace('"a"', '"\u00e9"')}`, 'latin1'),
      /:2: got bytes that are no UTF-8.*iconv/,
    ],
    ['UTF-16', Buffer.from(`\ufeff${good}`, 'utf16le'), /:1: got bytes that are no UTF-8/],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 10]), /:1: got a file compressed by gzip.*gunzip/],
    ['Parquet', Buffer.from('PAR1....'), /:1: got a Parquet file/],
    ['a JSON list', Buffer.from(`[${good}]`), /:1: got a JSON list.*jq/],
    ['zeros', Buffer.from(`${good}\n\0\0`), /:2: got malformed JSON \(Unexpected token '\\x00'/],
    ['nesting without end', Buffer.from('{"messages":'.repeat(100_000)), /:1: got malformed JSON/],
    ['a role as long as a book', Buffer.from(good.replace('gpt', 'x'.repeat(100_000))), /unknown role "x{40}… /],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => read(bytes)).toThrow(message);
    expect(() => read(bytes)).toThrow(UserError);
  });

  it('refuses a line that no conversation can have', () => {
    expect(() => read(Buffer.alloc(2 ** 26 + 2 ** 21, 'x'))).toThrow(/got a line of over 67108864 bytes/);
  });

  it.skipIf(process.platform !== 'linux')('refuses an empty device', () => {
    expect(() => readConversations('/dev/null')).toThrow(/^\/dev\/null:1: got no conversation/);
  });
});

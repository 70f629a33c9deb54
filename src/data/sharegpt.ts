import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { z } from 'zod';
import { clipped, complain, explained, type UserError } from '../errors.ts';
import type { Message, Role } from './chat-template.ts';

/** One conversation and the line of the file it stands on (from 1), for messages about it. */
export interface Conversation {
  messages: Message[];
  line: number;
}

const ROLES: Readonly<Record<string, Role>> = {
  system: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
};

const role = z.string().transform((name, context): Role => {
  if (Object.hasOwn(ROLES, name)) return ROLES[name];
  context.addIssue({
    code: 'custom',
    message: `unknown role ${JSON.stringify(clipped(name, 40))}`,
    params: { expected: `one of ${Object.keys(ROLES).join(', ')}` },
  });
  return z.NEVER;
});

const shareGptSchema = z.looseObject({
  conversations: z.array(
    z.looseObject({ from: role, value: z.string() }).transform(({ from, value }) => ({ role: from, content: value })),
  ),
});
const messagesSchema = z.looseObject({
  messages: z.array(
    z.looseObject({ role, content: z.string() }).transform((turn) => ({ role: turn.role, content: turn.content })),
  ),
});

/**
 * Reads a data set of conversations: JSONL, a conversation a line, either as ShareGPT writes it
 * (`{"conversations": [{"from": "human", "value": "…"}, …]}`) or as OpenAI does
 * (`{"messages": [{"role": "user", "content": "…"}, …]}`). Blank lines are skipped.
 * @throws UserError (`file:line: …`) for what is malformed, an unknown role, a conversation without an assistant's
 * turn, and a file that is missing or empty
 */
export function readConversations(file: string): Conversation[] {
  if (!existsSync(file) || statSync(file).isDirectory()) {
    throw complain({
      where: file,
      got: existsSync(file) ? 'a directory' : 'no such file',
      expected: 'a JSONL file of conversations',
      remedy: 'check the path of the data set; one from a hub has to be downloaded first',
    });
  }
  const conversations: Conversation[] = [];
  let line = 0;
  for (const bytes of linesOf(file)) {
    line++;
    if (line === 1) checkKind(bytes, file);
    const text = decode(bytes, `${file}:${line}`);
    if (text.trim() === '') continue;
    conversations.push({ messages: parseLine(text, `${file}:${line}`), line });
  }
  if (conversations.length > 0) return conversations;
  throw complain({
    where: `${file}:1`,
    got: 'no conversation',
    expected: 'a JSON object on each line',
    remedy: 'give a data set that is not empty',
  });
}

/** No conversation is that long: the file is of another kind. */
const LONGEST_LINE = 2 ** 26;
const CHUNK = 2 ** 20;

/** The lines of a file as bytes, read piece by piece: a data set may be longer than the longest string or buffer. */
function* linesOf(file: string): Generator<Uint8Array> {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(file, 'r');
    const chunk = Buffer.alloc(CHUNK);
    let rest: Buffer = Buffer.alloc(0);
    let first = true;
    for (let read = CHUNK; read > 0; ) {
      read = readSync(descriptor, chunk, 0, CHUNK, null);
      let bytes = Buffer.concat([rest, chunk.subarray(0, read)]);
      if (first && read > 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
      first = false;
      let start = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
        yield bytes.subarray(start, end);
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > LONGEST_LINE)
        throw complain({
          where: file,
          got: `a line of over ${LONGEST_LINE} bytes`,
          expected: 'a conversation on each line',
          remedy: 'convert the file to JSON Lines',
        });
    }
    if (rest.length > 0) yield rest;
  } catch (error) {
    throw explained(error, file);
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** What people pass instead of JSON Lines: how it begins, what it is, how to convert it. */
const OTHER_KINDS: readonly (readonly [start: readonly number[], kind: string, remedy: string])[] = [
  [[0x50, 0x41, 0x52, 0x31], 'a Parquet file', "convert it, for example with DuckDB's COPY … (FORMAT JSON)"],
  [[0x1f, 0x8b], 'a file compressed by gzip', 'decompress it with `gunzip`'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'a file compressed by zstd', 'decompress it with `unzstd`'],
  [[0x5b], 'a JSON list', "convert it with `jq -c '.[]'`"],
];

/** @throws UserError for a file of a kind that can be told by its beginning */
function checkKind(firstLine: Uint8Array, file: string): void {
  const other = OTHER_KINDS.find(([start]) => start.every((byte, i) => firstLine[i] === byte));
  if (other)
    throw complain({
      where: `${file}:1`,
      got: other[1],
      expected: 'JSON Lines, a conversation a line',
      remedy: other[2],
    });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array, where: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw complain({
      where,
      got: 'bytes that are no UTF-8',
      expected: 'UTF-8 text',
      remedy: 'convert the file, for example with `iconv -f latin1 -t utf-8`',
    });
  }
}

function parseLine(text: string, where: string): Message[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw refuse(where, `malformed JSON (${error instanceof Error ? error.message : error})`);
  }
  if (typeof json !== 'object' || json === null || !('conversations' in json || 'messages' in json)) {
    throw refuse(where, 'neither "conversations" nor "messages"');
  }
  const result =
    'conversations' in json
      ? shareGptSchema.transform(({ conversations }) => conversations).safeParse(json)
      : messagesSchema.transform(({ messages }) => messages).safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const expected: unknown = issue.code === 'custom' ? issue.params?.expected : undefined;
    throw refuse(where, `at ${z.core.toDotPath(issue.path)}: ${issue.message}`, expected);
  }
  if (result.data.some((turn) => turn.role === 'assistant')) return result.data;
  throw complain({
    where,
    got: `${result.data.length} turns without one of the assistant`,
    expected: 'at least one turn to learn from',
    remedy: 'add a turn from "gpt" (or role "assistant"), or delete the line',
  });
}

function refuse(where: string, got: string, expected?: unknown): UserError {
  return complain({
    where,
    got,
    expected:
      typeof expected === 'string'
        ? expected
        : '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
    remedy: 'correct or delete the line',
  });
}

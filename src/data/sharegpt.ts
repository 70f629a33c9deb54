import { existsSync, readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { complain, type UserError } from '../errors.ts';
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
    message: `unknown role ${JSON.stringify(name)}, expected one of ${Object.keys(ROLES).join(', ')}`,
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
  if (!existsSync(file) || !statSync(file).isFile()) {
    throw complain({
      where: file,
      got: 'no such file',
      expected: 'a JSONL file of conversations',
      remedy: 'check the path of the data set',
    });
  }
  const conversations: Conversation[] = [];
  let line = 0;
  for (const text of linesOf(file)) {
    line++;
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

/** Cuts the bytes before decoding them: a data set may be longer than the longest string. */
function* linesOf(file: string): Generator<string> {
  const bytes = readFileSync(file);
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  let start = hasMark ? 3 : 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    yield bytes.toString('utf8', start, end);
    start = end + 1;
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
  const key = 'conversations' in json ? 'conversations' : 'messages';
  const result =
    key === 'conversations'
      ? shareGptSchema.transform(({ conversations }) => conversations).safeParse(json)
      : messagesSchema.transform(({ messages }) => messages).safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw refuse(where, `at ${z.core.toDotPath(issue.path)}: ${issue.message}`);
  }
  if (result.data.some((turn) => turn.role === 'assistant')) return result.data;
  throw complain({
    where,
    got: `${result.data.length} turns without one of the assistant`,
    expected: 'at least one turn to learn from',
    remedy: 'add a turn from "gpt" (or role "assistant"), or delete the line',
  });
}

function refuse(where: string, got: string): UserError {
  return complain({
    where,
    got,
    expected: '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
    remedy: 'correct or delete the line',
  });
}

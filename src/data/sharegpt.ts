import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { UserError } from '../errors.ts';
import type { Message } from './chat-template.ts';

/** A conversation and the line of the file that it came from. */
export interface Conversation {
  messages: Message[];
  line: number;
}

/** ShareGPT's names of roles, and OpenAI's. */
const ROLES: Readonly<Record<string, Message['role']>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  system: 'system',
};

const role = z
  .string()
  .refine((name) => name in ROLES, { error: `unknown role, expected ${Object.keys(ROLES).join(', ')}` });
const lineSchema = z.union([
  z
    .looseObject({ conversations: z.array(z.looseObject({ from: role, value: z.string() })).min(1) })
    .transform(({ conversations }) => conversations.map(({ from, value }) => ({ role: ROLES[from], content: value }))),
  z
    .looseObject({ messages: z.array(z.looseObject({ role, content: z.string() })).min(1) })
    .transform(({ messages }) => messages.map((message) => ({ role: ROLES[message.role], content: message.content }))),
]);

/**
 * Reads conversations from JSON Lines: `{"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]}` as in
 * ShareGPT, or `{"messages": [{"role": "user", "content": …}, …]}`. Empty lines are skipped.
 *
 * @throws UserError naming file and line of the first fault; for a missing or empty file too
 */
export async function readConversations(file: string): Promise<Conversation[]> {
  if (!existsSync(file)) throw new UserError(`${file}: missing; pass a JSONL file of conversations`);
  const conversations: Conversation[] = [];
  let line = 0;
  for await (const text of createInterface({
    input: createReadStream(file, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    line++;
    if (text.trim() !== '') conversations.push({ messages: parseLine(text, `${file}:${line}`), line });
  }
  if (conversations.length === 0)
    throw new UserError(`${file}: has no conversation; add lines of {"conversations": [...]}`);
  return conversations;
}

function parseLine(text: string, place: string): Message[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${place}: is not JSON (${(error as Error).message}); correct or remove the line`);
  }
  const result = lineSchema.safeParse(json);
  if (!result.success)
    throw new UserError(
      `${place}: ${faultOf(json)}; expected {"conversations": [{"from": "human"|"gpt"|"system", "value": text}, ...]}; correct the line`,
    );
  if (!result.data.some((message) => message.role === 'assistant'))
    throw new UserError(`${place}: has no assistant turn, so nothing to learn; add one or remove the line`);
  return result.data;
}

/** What is wrong with a line, in a few words: zod's report of a union names every branch. */
function faultOf(json: unknown): string {
  const { conversations, messages } = (json ?? {}) as { conversations?: unknown; messages?: unknown };
  const turns = conversations ?? messages;
  if (!Array.isArray(turns) || turns.length === 0) return 'has no list of turns in "conversations" or "messages"';
  for (const [i, turn] of turns.entries()) {
    const { from, role: name = from, value, content = value } = (turn ?? {}) as Record<string, unknown>;
    if (typeof name !== 'string' || !(name in ROLES))
      return `turn ${i + 1} has the unknown role ${JSON.stringify(name)}`;
    if (typeof content !== 'string') return `turn ${i + 1} has no text`;
  }
  return 'has a turn that is neither ShareGPT nor OpenAI style';
}

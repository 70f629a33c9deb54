import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { UserError } from '../../errors.ts';
import type { GgufValue } from './writer.ts';

/** Kinds of token in llama.cpp's vocabulary. */
const TOKEN_TYPE = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

const fileSchema = z.looseObject({
  model: z.looseObject({
    type: z.literal('BPE'),
    vocab: z.record(z.string(), z.number().int().min(0)),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
  added_tokens: z
    .array(z.looseObject({ id: z.number().int().min(0), content: z.string(), special: z.boolean().default(false) }))
    .default([]),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
});

/** Pre-tokenizers that llama.cpp knows by name, told by a part of their regular expression. */
const PRE_TOKENIZERS: readonly [name: string, part: string][] = [
  ['llama-bpe', '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*'],
];

/**
 * A byte-level BPE tokenizer as GGUF metadata.
 *
 * @param vocabSize rows of the embedding; tokens that the tokenizer lacks are filled up as unused
 * @throws UserError for a tokenizer of another kind, naming what is supported
 */
export function tokenizerMetadata(dir: string, vocabSize: number, chatTemplate: string | null): Map<string, GgufValue> {
  const file = path.join(dir, 'tokenizer.json');
  const parsed = fileSchema.safeParse(readJson(file));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(
      `${file}: ${issue.path.join('.')}: ${issue.message}; GGUF files are written for byte-level BPE tokenizers`,
    );
  }
  const { model, added_tokens: added, pre_tokenizer: pre, post_processor: post } = parsed.data;
  const { tokens, types } = vocabulary(file, model.vocab, added, vocabSize);
  const metadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: preTokenizer(file, pre) }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: types }],
    [
      'tokenizer.ggml.merges',
      { type: 'strings', value: model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))) },
    ],
  ]);
  const config = readConfig(dir);
  const idOf = (text: string | null) =>
    text === null ? undefined : (added.find(({ content }) => content === text)?.id ?? model.vocab[text]);
  const special: [string, string | null][] = [
    ['bos', config.bos_token],
    ['eos', config.eos_token],
    ['padding', config.pad_token],
    ['eot', ['<|eot_id|>', '<|im_end|>'].find((text) => idOf(text) !== undefined) ?? null],
  ];
  for (const [name, text] of special) {
    const id = idOf(text);
    if (id !== undefined) metadata.set(`tokenizer.ggml.${name}_token_id`, { type: 'u32', value: id });
  }
  // llama.cpp would add a bos token for this pre-tokenizer by itself: say what the tokenizer does.
  const addsBos =
    config.add_bos_token ??
    (config.bos_token !== null && JSON.stringify(post ?? null).includes(JSON.stringify(config.bos_token)));
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'bool', value: addsBos });
  const template = chatTemplate ?? config.chat_template;
  if (template) metadata.set('tokenizer.chat_template', { type: 'string', value: template });
  return metadata;
}

function vocabulary(
  file: string,
  vocab: Readonly<Record<string, number>>,
  added: readonly { id: number; content: string; special: boolean }[],
  size: number,
): { tokens: string[]; types: number[] } {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(TOKEN_TYPE.unused);
  const place = (id: number, token: string, type: number) => {
    if (id >= size)
      throw new UserError(
        `${file}: token ${JSON.stringify(token)} has id ${id}, but the model has ${size} embeddings; use the tokenizer that belongs to the model`,
      );
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(vocab)) place(id, token, TOKEN_TYPE.normal);
  for (const { id, content, special } of added)
    place(id, content, special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined);
  return { tokens, types };
}

function preTokenizer(file: string, pre: unknown): string {
  const text = JSON.stringify(pre ?? null);
  const known = PRE_TOKENIZERS.find(([, part]) => text.includes(JSON.stringify(part).slice(1, -1)));
  if (!known)
    throw new UserError(
      `${file}: its pre-tokenizer is not one that llama.cpp knows, expected that of Llama 3; export to safetensors instead`,
    );
  return known[0];
}

const token = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((value) => (typeof value === 'string' ? value : (value?.content ?? null)));
const configSchema = z.looseObject({
  bos_token: token,
  eos_token: token,
  pad_token: token,
  add_bos_token: z.boolean().nullish(),
  chat_template: z
    .unknown()
    .optional()
    .transform((value) => (typeof value === 'string' ? value : null)),
});

function readConfig(dir: string): z.infer<typeof configSchema> {
  const file = path.join(dir, 'tokenizer_config.json');
  const parsed = configSchema.safeParse(existsSync(file) ? readJson(file) : {});
  if (!parsed.success)
    throw new UserError(
      `${file}: ${parsed.error.issues[0].path.join('.')}: ${parsed.error.issues[0].message}; download it again`,
    );
  return parsed.data;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UserError(
      `${file}: cannot be read as JSON (${(error as Error).message}); a GGUF file needs the tokenizer`,
    );
  }
}

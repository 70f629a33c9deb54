import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { complain, UserError } from '../../errors.ts';
import { readJsonFile } from '../../files/json.ts';
import type { GgufValue } from './byte-writer.ts';
import { isGguf, readModelMetadata } from './reader.ts';
import { readTokenizerFiles, TOKEN_TYPE, WORDS } from './tokenizer-files.ts';

const REMEDY = 'a GGUF file needs the tokenizer';

const templatePart = z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }).optional() });
const postProcessor = z.looseObject({ type: z.string(), single: z.array(templatePart).optional() });

const fileSchema = z.looseObject({
  model: z.looseObject({
    type: z.literal('BPE'),
    vocab: z.record(z.string(), z.number().int().min(0)),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
  added_tokens: z
    .array(z.looseObject({ id: z.number().int().min(0), content: z.string(), special: z.boolean().default(false) }))
    .default([]),
  pre_tokenizer: z.unknown().optional(),
  post_processor: postProcessor.extend({ processors: z.array(postProcessor).optional() }).nullish(),
});
type TokenizerFile = z.infer<typeof fileSchema>;

const token = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((value) => (typeof value === 'string' ? value : (value?.content ?? null)));
const namedTemplates = z.array(z.looseObject({ name: z.string(), template: z.string() })).min(1);
const configSchema = z.looseObject({
  bos_token: token,
  eos_token: token,
  unk_token: token,
  pad_token: token,
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  chat_template: z.union([z.string(), namedTemplates]).nullish(),
});
type TokenizerConfig = z.infer<typeof configSchema>;

/** Ids that config.json names, for tokens that the tokenizer's own files do not. */
interface FallbackIds {
  vocab_size: number;
  bos_token_id: number | null;
  eos_token_id: readonly number[];
  pad_token_id: number | null;
}

/**
 * A byte-level BPE tokenizer as GGUF metadata, as llama.cpp's converter writes it.
 *
 * @param from directory with tokenizer.json and tokenizer_config.json, or a GGUF file
 * @param model tokens that the tokenizer lacks are filled up to `vocab_size`, the rows of the embedding, as unused
 * @param chatTemplate Jinja template of the file; null for the tokenizer's own
 * @throws UserError for a tokenizer of another kind, naming what is supported
 */
export function tokenizerMetadata(
  from: string,
  model: FallbackIds,
  chatTemplate: string | null,
): Map<string, GgufValue> {
  const { file, tokenizer, config } = isGguf(from) ? fromGguf(from) : fromDirectory(from);
  const { tokens, types } = vocabulary(file, tokenizer, model.vocab_size);
  const own = ownTemplate(config);
  const template = chatTemplate ?? own;
  const metadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: preTokenizer(file, tokenizer.pre_tokenizer) }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: types }],
    ['tokenizer.ggml.merges', { type: 'strings', value: tokenizer.model.merges.map(mergeText) }],
  ]);
  for (const [name, id] of specialIds(tokenizer, config, model))
    metadata.set(`tokenizer.ggml.${name}_token_id`, { type: 'u32', value: id });
  const adds = addedAround(tokenizer, config);
  // A model that learned conversations without the first token must not be given it; see the template.
  const foreign = template !== null && template !== own && !template.includes('bos_token');
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'bool', value: adds.bos && !foreign });
  if (adds.eos) metadata.set('tokenizer.ggml.add_eos_token', { type: 'bool', value: true });
  if (template !== null) metadata.set('tokenizer.chat_template', { type: 'string', value: template });
  return metadata;
}

function vocabulary(
  file: string,
  { model: { vocab }, added_tokens: added }: TokenizerFile,
  size: number,
): { tokens: string[]; types: number[] } {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(TOKEN_TYPE.unused);
  const place = (id: number, token: string, type: number) => {
    if (id >= size)
      throw complain({
        where: file,
        got: `token ${JSON.stringify(token)} with id ${id}`,
        expected: `ids below ${size}, the rows of the embedding`,
        remedy: 'use the tokenizer that belongs to the model',
      });
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(vocab)) place(id, token, TOKEN_TYPE.normal);
  for (const { id, content, special } of added)
    place(id, content, special || looksSpecial(content) ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined);
  return { tokens, types };
}

/** Some tokenizers forget to mark them: the converter goes by the looks too. */
const looksSpecial = (content: string) => content.startsWith('<|') && content.endsWith('|>');

/** Parts of a merge with a space between; a space inside one becomes its stand-in of the byte-level alphabet. */
function mergeText(merge: string | [string, string]): string {
  return typeof merge === 'string' ? merge : merge.map((part) => part.replaceAll(' ', 'Ġ')).join(' ');
}

function preTokenizer(file: string, pre: unknown): string {
  const { type, pretokenizers } = (pre ?? {}) as { type?: string; pretokenizers?: unknown[] };
  const steps = (type === 'Sequence' ? pretokenizers : [pre]) as { type?: string; pattern?: { Regex?: string } }[];
  const [split, bytes] = steps ?? [];
  const known = Object.keys(WORDS).find((name) => WORDS[name] === split?.pattern?.Regex);
  if (known && steps.length === 2 && split.type === 'Split' && bytes.type === 'ByteLevel') return known;
  throw complain({
    where: file,
    got: 'a pre-tokenizer that cuts text in another way than Llama 3',
    expected: "Llama 3's, the one that GGUF files are written for",
    remedy: 'export to safetensors instead',
  });
}

/** Ids by llama.cpp's names of the roles. */
function specialIds({ model, added_tokens: added }: TokenizerFile, config: TokenizerConfig, ids: FallbackIds) {
  const idOf = (text: string | null) =>
    text === null ? undefined : (added.find(({ content }) => content === text)?.id ?? model.vocab[text]);
  const endOfTurn = ['<|eot_id|>', '<|im_end|>'].find((text) => idOf(text) !== undefined);
  const roles: [role: string, id: number | null | undefined][] = [
    ['bos', idOf(config.bos_token) ?? ids.bos_token_id],
    ['eos', idOf(config.eos_token) ?? ids.eos_token_id[0]],
    ['unknown', idOf(config.unk_token)],
    ['padding', idOf(config.pad_token) ?? ids.pad_token_id],
    ['eot', idOf(endOfTurn ?? null)],
  ];
  // -1 stands for none in some config.json.
  return roles.filter((role): role is [string, number] => role[1] != null && role[1] >= 0 && role[1] < ids.vocab_size);
}

/** Whether the tokenizer puts its first token before a text, and its last one behind. */
function addedAround({ post_processor: post }: TokenizerFile, config: TokenizerConfig): { bos: boolean; eos: boolean } {
  const templates = (post?.processors ?? (post ? [post] : [])).filter(({ type }) => type === 'TemplateProcessing');
  const parts = templates[0]?.single ?? [];
  const has = (part: z.infer<typeof templatePart> | undefined, token: string | null) =>
    parts.length > 1 && token !== null && part?.SpecialToken?.id === token;
  return {
    bos: config.add_bos_token ?? has(parts[0], config.bos_token),
    eos: config.add_eos_token ?? has(parts[parts.length - 1], config.eos_token),
  };
}

function ownTemplate({ chat_template: template }: TokenizerConfig): string | null {
  if (template == null || typeof template === 'string') return template ?? null;
  return (template.find(({ name }) => name === 'default') ?? template[0]).template;
}

/** A tokenizer's two files, checked, and what to call them in messages. */
interface Source {
  file: string;
  tokenizer: TokenizerFile;
  config: TokenizerConfig;
}

function fromDirectory(dir: string): Source {
  const file = path.join(dir, 'tokenizer.json');
  const configFile = path.join(dir, 'tokenizer_config.json');
  const templateFile = path.join(dir, 'chat_template.jinja');
  const tokenizer = check(
    file,
    readJsonFile(file, REMEDY),
    fileSchema,
    'GGUF files are written for byte-level BPE tokenizers',
  );
  const json = existsSync(configFile) ? readJsonFile(configFile, REMEDY) : {};
  const config = check(configFile, json, configSchema, 'download it again');
  // As in transformers, the template in a file of its own goes before the other.
  if (existsSync(templateFile)) config.chat_template = readFileSync(templateFile, 'utf8');
  return { file, tokenizer, config };
}

function fromGguf(file: string): Source {
  const { tokenizer, config } = readTokenizerFiles(readModelMetadata(file));
  return { file, tokenizer: fileSchema.parse(tokenizer), config: configSchema.parse(config) };
}

function check<T>(file: string, json: unknown, schema: z.ZodType<T>, remedy: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${file}: ${issue.path.join('.') || 'content'}: ${issue.message}; ${remedy}`);
}

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { complain } from '../errors.ts';
import { isGguf, readModelMetadata } from '../formats/gguf/reader.ts';
import { readTokenizerFiles } from '../formats/gguf/tokenizer-files.ts';
import { tokenBytes } from './token-bytes.ts';

const specialToken = z.union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)]);

const configSchema = z.looseObject({
  bos_token: specialToken.nullish(),
  eos_token: specialToken.nullish(),
  pad_token: specialToken.nullish(),
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() })).min(1)])
    .nullish(),
});

// Plain loops for the large parts: a schema takes seconds over the 128,256 tokens of Llama 3.
const isVocab = (value: unknown) =>
  Array.isArray(value)
    ? value.every((entry) => Array.isArray(entry) && typeof entry[0] === 'string')
    : typeof value === 'object' &&
      value !== null &&
      Object.values(value).every((id) => Number.isInteger(id) && id >= 0);
const isMerges = (value: unknown) =>
  Array.isArray(value) &&
  value.every((merge) => typeof merge === 'string' || (Array.isArray(merge) && merge.length === 2));

const tokenizerSchema = z.looseObject({
  model: z
    .looseObject({
      // Files of older versions have no type.
      type: z.enum(['BPE', 'Unigram', 'WordPiece', 'WordLevel']).nullish(),
      vocab: z.custom(isVocab, 'expected tokens with their ids'),
      merges: z.custom(isMerges, 'expected a list of pairs').optional(),
    })
    .refine(({ type, merges }) => type !== 'BPE' || merges !== undefined, 'a BPE tokenizer without merges'),
  added_tokens: z
    .array(z.looseObject({ id: z.number().int().min(0), content: z.string() }))
    .nullish()
    .transform((tokens) => tokens ?? []),
});

/** A special token: its text and its id. */
export interface SpecialToken {
  text: string;
  id: number;
}

/** A model's tokenizer, as its `tokenizer.json` and `tokenizer_config.json` describe it. */
export class Tokenizer {
  private readonly inner: HuggingFaceTokenizer;
  private readonly specialIds = new Set<number>();
  private readonly toBytes: (token: string) => Uint8Array;
  /** By id, for those asked for. */
  private readonly bytes: Uint8Array[] = [];
  /** Where it came from, for messages. */
  readonly directory: string;
  /** Characters of the longest token that is recognised before text is cut into words, as special tokens are. */
  readonly longestAdded: number;
  /** The token a document starts with, if the model has one. */
  readonly bos: SpecialToken | null;
  /** The token a document or a turn ends with, if the model has one. */
  readonly eos: SpecialToken | null;
  /** The filler of short rows, if the model has one. */
  readonly pad: SpecialToken | null;
  /** The model's own chat template (Jinja), if it has one. */
  readonly chatTemplate: string | null;

  /** Use {@link loadTokenizer}. */
  constructor(directory: string, content: object, config: z.infer<typeof configSchema>, chatTemplate: string | null) {
    this.inner = new HuggingFaceTokenizer(content, config);
    let longest = 0;
    for (const [id, token] of this.inner.get_added_tokens_decoder()) {
      if (token.special) this.specialIds.add(id);
      longest = Math.max(longest, token.content.length);
    }
    this.longestAdded = longest;
    this.toBytes = tokenBytes(content);
    this.directory = directory;
    this.chatTemplate = chatTemplate;
    this.bos = this.special('bos_token', config.bos_token);
    this.eos = this.special('eos_token', config.eos_token);
    this.pad = this.special('pad_token', config.pad_token);
  }

  /** Text to ids. Adds no special tokens, but recognises those written in the text. */
  encode(text: string): number[] {
    if (text === '') return [];
    const { ids, tokens }: { ids: number[]; tokens: string[] } = this.inner.encode(text, { add_special_tokens: false });
    const unknown = ids.findIndex((id) => !Number.isInteger(id));
    if (unknown >= 0) {
      throw complain({
        where: `tokenizer in ${this.directory}`,
        got: `the text ${JSON.stringify(tokens[unknown])}`,
        expected: 'text its vocabulary can express',
        remedy: 'remove that text from the data, or use a byte-level tokenizer',
      });
    }
    return ids;
  }

  /**
   * Ids to text; bytes that are no UTF-8 become U+FFFD. Spaces before punctuation are kept whatever
   * `clean_up_tokenization_spaces` says: that option was meant for word-piece models and would alter the text.
   * @throws UserError for an id outside the vocabulary
   */
  decode(ids: ArrayLike<number>, options: { skipSpecial?: boolean } = {}): string {
    const list = Array.from(ids);
    if (list.length === 0) return '';
    for (const id of list) this.written(id);
    return this.inner.decode(list, {
      skip_special_tokens: options.skipSpecial ?? false,
      clean_up_tokenization_spaces: false,
    });
  }

  /**
   * The bytes of text that a token stands for, also where they are part of a character.
   * @throws UserError for an id outside the vocabulary
   */
  bytesOf(id: number): Uint8Array {
    this.bytes[id] ??= this.toBytes(this.written(id));
    return this.bytes[id];
  }

  /** Whether an id is that of a special token (one that is no text). */
  isSpecial(id: number): boolean {
    return this.specialIds.has(id);
  }

  /** The id of a token written exactly so in the vocabulary, or null. */
  idOf(token: string): number | null {
    return this.inner.token_to_id(token) ?? null;
  }

  /** A token as the vocabulary writes it. */
  private written(id: number): string {
    const token = this.inner.id_to_token(id);
    if (token !== undefined) return token;
    throw complain({
      where: `tokenizer in ${this.directory}`,
      got: `token id ${id}`,
      expected: 'an id of its vocabulary',
      remedy: 'use the tokenizer that belongs to the model',
    });
  }

  private special(key: string, text: string | null | undefined): SpecialToken | null {
    if (text == null) return null;
    const id = this.idOf(text);
    if (id !== null) return { text, id };
    throw complain({
      where: path.join(this.directory, 'tokenizer_config.json'),
      got: `${key} ${JSON.stringify(text)}, which tokenizer.json lacks`,
      expected: 'a token of the vocabulary',
      remedy: 'take both files from the same model',
    });
  }
}

/**
 * Reads a tokenizer from a model's directory, `tokenizer.json`, `tokenizer_config.json` and, where present,
 * `chat_template.jinja`, which goes before the template in the configuration (as in transformers); or from the metadata
 * of a GGUF file.
 * @throws UserError naming the file that is missing or malformed
 */
export function loadTokenizer(model: string): Tokenizer {
  if (isGguf(model)) {
    const { tokenizer, config } = readTokenizerFiles(readModelMetadata(model));
    return build(model, model, tokenizer, configSchema.parse(config), null);
  }
  const contentFile = path.join(model, 'tokenizer.json');
  const content = readJson(contentFile, tokenizerSchema);
  const config = readJson(path.join(model, 'tokenizer_config.json'), configSchema);
  const templateFile = path.join(model, 'chat_template.jinja');
  const template = existsSync(templateFile) ? readFileSync(templateFile, 'utf8') : null;
  return build(model, contentFile, content, config, template);
}

/** @param template goes before that of the configuration */
function build(
  model: string,
  file: string,
  content: object,
  config: z.infer<typeof configSchema>,
  template: string | null,
): Tokenizer {
  try {
    return new Tokenizer(model, content, config, template ?? defaultTemplate(config));
  } catch (error) {
    if (error instanceof Error && error.name === 'UserError') throw error;
    throw malformed(file, error instanceof Error ? error.message : String(error));
  }
}

function defaultTemplate({ chat_template }: z.infer<typeof configSchema>): string | null {
  if (chat_template == null || typeof chat_template === 'string') return chat_template || null;
  return (chat_template.find(({ name }) => name === 'default') ?? chat_template[0]).template;
}

function readJson<T>(file: string, schema: z.ZodType<T>): T {
  if (!existsSync(path.dirname(file))) {
    throw complain({
      where: path.dirname(file),
      got: 'no such directory',
      expected: 'a Hugging Face model on this machine',
      remedy: 'check the path; a model from the hub has to be downloaded first, for example with `hf download`',
    });
  }
  if (!existsSync(file)) {
    throw complain({
      where: file,
      got: 'no such file',
      expected: "the tokenizer's tokenizer.json and tokenizer_config.json",
      remedy: 'give the directory of a complete Hugging Face model',
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw malformed(file, error instanceof Error ? error.message : String(error));
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw malformed(file, `${issue.path.join('.') || 'content'}: ${issue.message}`);
}

function malformed(file: string, problem: string) {
  return complain({
    where: file,
    got: problem,
    expected: 'a file of a Hugging Face fast tokenizer',
    remedy: "fetch the model's tokenizer files again",
  });
}

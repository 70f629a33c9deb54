import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { UserError } from '../errors.ts';

const tokenSchema = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();

const configSchema = z.looseObject({
  bos_token: tokenSchema,
  eos_token: tokenSchema,
  pad_token: tokenSchema,
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish(),
});

const fileSchema = z.looseObject({
  added_tokens: z
    .array(z.looseObject({ id: z.number().int(), content: z.string(), special: z.boolean().optional() }))
    .default([]),
  model: z.looseObject({ type: z.string().optional() }),
});

/** A tokenizer of a Hugging Face directory: tokenizer.json with tokenizer_config.json. */
export class Tokenizer {
  readonly bos: string | null;
  readonly eos: string | null;
  readonly pad: string | null;
  /** The Jinja template that the checkpoint brings, if any. */
  readonly chatTemplate: string | null;
  readonly #tokenizer: HuggingFaceTokenizer;

  constructor(file: unknown, config: z.infer<typeof configSchema>, templateFile: string | null) {
    this.#tokenizer = new HuggingFaceTokenizer(file as object, config);
    const text = (token: z.infer<typeof tokenSchema>) => (typeof token === 'string' ? token : (token?.content ?? null));
    this.bos = text(config.bos_token);
    this.eos = text(config.eos_token);
    this.pad = text(config.pad_token);
    const { chat_template: template } = config;
    const inConfig = Array.isArray(template) ? template.find(({ name }) => name === 'default')?.template : template;
    this.chatTemplate = templateFile ?? inConfig ?? null;
  }

  /** Token ids of a text; special tokens written in it are recognised, none are added. */
  encode(text: string): number[] {
    return text === '' ? [] : this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** Text of token ids; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[], options: { skipSpecial?: boolean } = {}): string {
    if (ids.length === 0) return '';
    return this.#tokenizer.decode([...ids], {
      skip_special_tokens: options.skipSpecial ?? false,
      clean_up_tokenization_spaces: false,
    });
  }

  /** The id of a token that is written exactly so, null if there is none. */
  idOf(token: string | null): number | null {
    if (token === null) return null;
    return this.#tokenizer.token_to_id(token) ?? null;
  }
}

/**
 * Loads a tokenizer.
 *
 * @throws UserError naming the file that is missing or malformed
 */
export function loadTokenizer(dir: string): Tokenizer {
  const file = readJson(path.join(dir, 'tokenizer.json'), fileSchema);
  const configFile = path.join(dir, 'tokenizer_config.json');
  const config = existsSync(configFile) ? readJson(configFile, configSchema) : {};
  const templateFile = path.join(dir, 'chat_template.jinja');
  const template = existsSync(templateFile) ? readFileSync(templateFile, 'utf8') : null;
  try {
    return new Tokenizer(file, config, template);
  } catch (error) {
    throw new UserError(
      `${dir}: its tokenizer cannot be used (${(error as Error).message}); pass a directory with a tokenizer.json of a Llama`,
    );
  }
}

function readJson<T>(file: string, schema: z.ZodType<T>): T {
  if (!existsSync(file)) throw new UserError(`${file}: missing; pass a Hugging Face directory with its tokenizer`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UserError(`${file}: is not JSON (${(error as Error).message}); download it again`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${file}: ${issue.path.join('.')}: ${issue.message}; download it again`);
}

/** Turns a stream of tokens into text, holding characters back until all their bytes have come. */
export class StreamDecoder {
  readonly #tokenizer: Tokenizer;
  #ids: number[] = [];

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that is complete with this token; empty inside a character. */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.#tokenizer.decode(this.#ids);
    // A character of four bytes spans at most four tokens; what is still undecodable then is no UTF-8.
    if (text.endsWith('\uFFFD') && this.#ids.length < 4) return '';
    this.#ids = [];
    return text;
  }

  /** What was held back at the end of the stream. */
  flush(): string {
    const text = this.#tokenizer.decode(this.#ids);
    this.#ids = [];
    return text;
  }
}

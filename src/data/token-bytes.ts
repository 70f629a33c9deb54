import { z } from 'zod';
import { byteAlphabet } from '../formats/byte-level-bpe.ts';

const decoderSchema = z.looseObject({
  type: z.string(),
  decoders: z.array(z.looseObject({ type: z.string() })).nullish(),
});

/** What of a tokenizer.json says how tokens are written. Other forms than these are taken for none. */
const schema = z.looseObject({
  decoder: decoderSchema.nullish().catch(null),
  added_tokens: z.array(z.looseObject({ content: z.string() })).catch([]),
  model: z.looseObject({
    continuing_subword_prefix: z.string().nullish().catch(null),
    end_of_word_suffix: z.string().nullish().catch(null),
  }),
});

/** Byte by stand-in. */
const BYTES = new Map(byteAlphabet().map((character, byte) => [character, byte]));

/**
 * How to read the bytes of text that a token stands for off the way the vocabulary writes it.
 *
 * In a sequence of tokens the bytes of each follow one another, also where a character is cut between tokens. They are
 * those of the text, except for what the tokenizer itself puts in, leaves out or normalises.
 * @param content of tokenizer.json
 */
export function tokenBytes(content: object): (token: string) => Uint8Array {
  const { decoder, added_tokens, model } = schema.parse(content);
  const decoders = [decoder, ...(decoder?.decoders ?? [])].map((part) => part?.type);
  const byteLevel = decoders.includes('ByteLevel');
  const fallback = decoders.includes('ByteFallback');
  const added = new Set(added_tokens.map((token) => token.content));
  const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = model;
  return (token) => {
    if (added.has(token)) return Buffer.from(token);
    if (byteLevel && Array.from(token).every((c) => BYTES.has(c))) return Uint8Array.from(token, (c) => BYTES.get(c)!);
    const byte = fallback ? /^<0x([0-9A-F]{2})>$/i.exec(token) : null;
    if (byte) return Uint8Array.of(Number.parseInt(byte[1], 16));
    let text = token;
    if (prefix && text.startsWith(prefix)) text = text.slice(prefix.length);
    if (suffix && text.endsWith(suffix)) text = text.slice(0, -suffix.length);
    return Buffer.from(text.replaceAll('▁', ' '));
  };
}

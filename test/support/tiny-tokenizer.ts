import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { addedToken } from '../../src/formats/byte-level-bpe.ts';

/** The special tokens of the tiny tokenizer; their ids follow its bytes and merges in this order. */
export const SPECIAL_TOKENS = [
  '<|im_start|>',
  '<|im_end|>',
  '<|begin_of_text|>',
  '<|end_of_text|>',
  '<|eot_id|>',
  '<|start_header_id|>',
  '<|end_header_id|>',
];

/** Merges of byte-level BPE, in the alphabet where Ġ is a space and Ċ a newline; `Ċ Ċ` tempts a careless mask. */
const MERGES = ['h e', 'l l', 'he ll', 'hell o', 'Ġ w', 'u s', 'e r', 'us er', 'Ċ Ċ', 'Ġ Ġ'];

/** The way Llama 3 cuts text into words before the merges. */
const LLAMA3_WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** GPT-2's printable stand-ins for the 256 bytes, by byte. */
function byteAlphabet(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/** The content of a tokenizer.json with 256 bytes, a few merges and the special tokens: byte b has id b. */
export function tinyTokenizerJson(): Record<string, unknown> {
  const vocabulary = [...byteAlphabet(), ...MERGES.map((merge) => merge.replace(' ', ''))];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, i) => addedToken(vocabulary.length + i, content, true)),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: LLAMA3_WORDS }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|begin_of_text|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: {
        '<|begin_of_text|>': {
          id: '<|begin_of_text|>',
          ids: [vocabulary.length + SPECIAL_TOKENS.indexOf('<|begin_of_text|>')],
          tokens: ['<|begin_of_text|>'],
        },
      },
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: MERGES,
    },
  };
}

/** Number of ids of the tiny tokenizer. */
export const TINY_VOCABULARY = 256 + MERGES.length + SPECIAL_TOKENS.length;

/** The content of the matching tokenizer_config.json. */
export function tinyTokenizerConfig(): Record<string, unknown> {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: '<|begin_of_text|>',
    eos_token: { content: '<|eot_id|>', special: true },
    // What the published Llama 3 files say; the decoder must nevertheless keep the space before a full stop.
    clean_up_tokenization_spaces: true,
  };
}

/** Writes both files into a directory (a new temporary one unless given) and returns it. */
export function writeTinyTokenizer(
  directory = mkdtempSync(path.join(os.tmpdir(), 'dawntune-tokenizer-')),
  config: Record<string, unknown> = tinyTokenizerConfig(),
  json: Record<string, unknown> = tinyTokenizerJson(),
): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, 'tokenizer.json'), JSON.stringify(json));
  writeFileSync(path.join(directory, 'tokenizer_config.json'), JSON.stringify(config));
  return directory;
}

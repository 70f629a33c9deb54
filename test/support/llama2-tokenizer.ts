import { addedToken } from '../../src/formats/byte-level-bpe.ts';
import { writeTinyTokenizer } from './tiny-tokenizer.ts';

/** The special tokens, with ids in this order. */
export const LLAMA2_SPECIAL_TOKENS = ['<unk>', '<s>', '</s>'];

/** Merges in SentencePiece's form, where ▁ is a space. */
const MERGES = [
  ...['h e', 'l l', 'he ll', 'hell o', '▁ hello', 'u s', 'e r', 'us er', '▁ user', '▁ ▁', '▁▁ ▁▁', '▁ a', '▁ b'],
  ...['I N', 'S T', 'IN ST', '▁ [', '\n \n', '. ▁', '> \n'],
];

/**
 * The content of a tokenizer.json in the form of Llama 2's (TinyLlama, Mistral 0.1): BPE over characters, bytes for those
 * it lacks, and a space (▁) put in front of every piece of text between special tokens.
 */
export function llama2TokenizerJson(): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const characters = ['▁', '\n', ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))];
  const vocabulary = [...LLAMA2_SPECIAL_TOKENS, ...bytes, ...characters, ...MERGES.map((m) => m.replace(' ', ''))];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: LLAMA2_SPECIAL_TOKENS.map((content, id) => addedToken(id, content, true)),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: MERGES,
    },
  };
}

/** Writes it with its configuration into a new temporary directory and returns that. */
export function writeLlama2Tokenizer(json: Record<string, unknown> = llama2TokenizerJson()): string {
  return writeTinyTokenizer(undefined, { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' }, json);
}

/** How Llama 3 cuts text into words before the merges; llama.cpp calls it llama-bpe. */
export const LLAMA3_WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The visible character that stands for each byte in byte-level BPE (GPT-2's table). */
export function byteAlphabet(): string[] {
  const visible = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(visible(b) ? b : next++));
}

/** A token that is recognised in text before it is cut into words. */
export function addedToken(id: number, content: string, special: boolean) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/** What byte-level BPE tokenizers differ in. */
export interface ByteLevelBpe {
  /** Regular expression that cuts text into words. */
  words: string;
  /** Ids by token. */
  vocab: Readonly<Record<string, number>>;
  merges: readonly (string | readonly [string, string])[];
  added: readonly ReturnType<typeof addedToken>[];
  post_processor: object | null;
}

/**
 * Content of a tokenizer.json of Hugging Face for byte-level BPE as of Llama 3, which takes a word that is a token as it
 * is, whatever the merges say.
 */
export function byteLevelBpeJson({ words, vocab, merges, added, post_processor }: ByteLevelBpe) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: words }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor,
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
      vocab,
      merges,
    },
  };
}

import { addedToken, byteLevelBpeJson, LLAMA3_WORDS } from '../byte-level-bpe.ts';
import { checkLlama } from './llama-config.ts';
import type { GgufMetadata } from './metadata.ts';

/** Contents of tokenizer.json and tokenizer_config.json. */
export interface TokenizerFiles {
  tokenizer: Record<string, unknown>;
  config: Record<string, unknown>;
}

/** Kinds of token in llama.cpp's vocabulary. */
export const TOKEN_TYPE = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** How text is cut into words before the merges, by llama.cpp's name for it. */
export const WORDS: Readonly<Record<string, string>> = { 'llama-bpe': LLAMA3_WORDS };
/** Other names that llama.cpp reads as llama-bpe. */
const ALIASES = ['llama3', 'llama-v3'];

const KEY = 'tokenizer.ggml';
const REMEDY = "use a Llama 3 model, or one of its kind, or pass the model's Hugging Face directory";

/**
 * The tokenizer of a GGUF file as Hugging Face stores it.
 *
 * @throws UserError for a file that is no Llama, a tokenizer of another kind, or a damaged vocabulary, naming the key
 */
export function readTokenizerFiles(metadata: GgufMetadata): TokenizerFiles {
  checkLlama(metadata);
  const model = metadata.string(`${KEY}.model`);
  if (model !== 'gpt2') throw metadata.error(`${KEY}.model`, model, 'gpt2 (byte-level BPE)', REMEDY);
  const { vocab, added } = vocabulary(metadata);
  const known = new Set([...vocab.keys(), ...added.map(({ content }) => content)]);
  const special = specialTokens(metadata, known);
  const bos = metadata.boolean(`${KEY}.add_bos_token`, true) ? special.bos_token : undefined;
  const tokenizer = byteLevelBpeJson({
    words: words(metadata),
    vocab: Object.fromEntries(vocab),
    merges: merges(metadata, known),
    added,
    post_processor: bos === undefined ? null : bosBefore(bos, metadata.whole(`${KEY}.bos_token_id`)),
  });
  const template = metadata.string('tokenizer.chat_template', null);
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...special,
    ...(metadata.boolean(`${KEY}.add_eos_token`, false) ? { add_eos_token: true } : {}),
    clean_up_tokenization_spaces: false,
    model_input_names: ['input_ids', 'attention_mask'],
    ...(template === null ? {} : { chat_template: template }),
  };
  return { tokenizer, config };
}

function words(metadata: GgufMetadata): string {
  const name = metadata.string(`${KEY}.pre`);
  const pattern = WORDS[ALIASES.includes(name) ? 'llama-bpe' : name];
  if (pattern === undefined) throw metadata.error(`${KEY}.pre`, name, Object.keys(WORDS).join(' or '), REMEDY);
  return pattern;
}

function vocabulary(metadata: GgufMetadata) {
  const tokens = metadata.strings(`${KEY}.tokens`);
  const types = metadata.integers(`${KEY}.token_type`, new Array<number>(tokens.length).fill(TOKEN_TYPE.normal));
  const bad = (got: string, expected: string) => metadata.error(`${KEY}.tokens`, got, expected, REMEDY);
  if (types.length !== tokens.length)
    throw bad(`${tokens.length} tokens with ${types.length} types`, 'a type for each token');
  const vocab = new Map<string, number>();
  const added: ReturnType<typeof addedToken>[] = [];
  const seen = new Set<string>();
  for (const [id, token] of tokens.entries()) {
    const type = types[id];
    if (type === TOKEN_TYPE.unused) continue;
    if (token === '' || seen.has(token))
      throw bad(`token ${id}, ${JSON.stringify(token)}, ${token ? 'a second time' : 'which is empty'}`, 'other tokens');
    seen.add(token);
    if (type === TOKEN_TYPE.normal) vocab.set(token, id);
    else if (type === TOKEN_TYPE.control || type === TOKEN_TYPE.userDefined)
      added.push(addedToken(id, token, type === TOKEN_TYPE.control));
    else throw bad(`token ${id} of type ${type}`, `types ${Object.values(TOKEN_TYPE).join(', ')}`);
  }
  return { vocab, added };
}

/** Merges as pairs; each must give a token, for text would be lost otherwise. */
function merges(metadata: GgufMetadata, known: ReadonlySet<string>): [string, string][] {
  return metadata.strings(`${KEY}.merges`).map((merge, i) => {
    const space = merge.indexOf(' ', 1);
    const [left, right] = [merge.slice(0, space), merge.slice(space + 1)];
    if (space < 1 || ![left, right, left + right].every((part) => known.has(part)))
      throw metadata.error(`${KEY}.merges`, `merge ${i}, ${JSON.stringify(merge)}`, 'two tokens that give one', REMEDY);
    return [left, right];
  });
}

function specialTokens(metadata: GgufMetadata, known: ReadonlySet<string>): Record<string, string> {
  const tokens = metadata.strings(`${KEY}.tokens`);
  const special: Record<string, string> = {};
  for (const [name, field] of [
    ['bos', 'bos_token'],
    ['eos', 'eos_token'],
    ['unknown', 'unk_token'],
    ['padding', 'pad_token'],
  ]) {
    const key = `${KEY}.${name}_token_id`;
    const id = metadata.whole(key, null);
    if (id === null) continue;
    if (!known.has(tokens[id])) throw metadata.error(key, String(id), 'the number of a token in use', REMEDY);
    special[field] = tokens[id];
  }
  return special;
}

/** A post-processor that puts the first token of documents before them. */
function bosBefore(token: string, id: number) {
  const sequence = (name: string, type_id: number) => ({ Sequence: { id: name, type_id } });
  const start = (type_id: number) => ({ SpecialToken: { id: token, type_id } });
  return {
    type: 'TemplateProcessing',
    single: [start(0), sequence('A', 0)],
    pair: [start(0), sequence('A', 0), start(1), sequence('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

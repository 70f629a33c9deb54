/** Trains the tiny tokenizer on the corpus and writes it to models/tiny in Hugging Face's format. */
import { mkdirSync } from 'node:fs';
import { CHAT_TEMPLATES } from '../../src/data/chat-template.ts';
import { Random } from '../../src/data/random.ts';
import { writeFileAtomic } from '../../src/files/write-file.ts';
import { addedToken, byteAlphabet, byteLevelBpeJson, LLAMA3_WORDS } from '../../src/formats/byte-level-bpe.ts';
import { answerText, questionText, randomQuestion, SMALL_TALK } from './conversations.ts';
import { corpusDocument, textOf } from './corpus.ts';
import { trainMerges } from './train-bpe.ts';

const VOCABULARY = 512;
const SPECIAL = ['<|begin_of_text|>', '<|end_of_text|>', '<|im_start|>', '<|im_end|>', '<|pad|>'];
/** Words of the corpus and of chats, as strings of byte characters; numbers are left out, so that digits stay single. */
function countWords(): Map<string, number> {
  const random = new Random(7);
  const alphabet = byteAlphabet();
  const texts = Array.from({ length: 20_000 }, () => textOf(corpusDocument(random)));
  for (let i = 0; i < 4000; i++) {
    const question = randomQuestion(random);
    texts.push(`user\n${questionText(question)}\nassistant\n${answerText(question)}\n`);
    const [ask, reply] = random.pick(SMALL_TALK);
    texts.push(`user\n${ask}\nassistant\n${reply}\n`);
  }
  const counts = new Map<string, number>();
  // JavaScript has no (?i:…) before ES2025; both cases of the contractions are written out here.
  const split = new RegExp(
    LLAMA3_WORDS.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'[sStTmMdD]|'(?:[rR][eE]|[vV][eE]|[lL][lL])"),
    'gu',
  );
  const encoder = new TextEncoder();
  for (const text of texts)
    for (const [word] of text.replace(/<\|\w+\|>/g, '').matchAll(split)) {
      if (/\p{N}/u.test(word)) continue;
      const key = Array.from(encoder.encode(word), (byte) => alphabet[byte]).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  return counts;
}

const alphabet = byteAlphabet().sort();
const merges = trainMerges(countWords(), VOCABULARY - alphabet.length - SPECIAL.length);
const tokens = [...alphabet, ...merges.map(([left, right]) => left + right)];
const special = SPECIAL.map((content, i) => addedToken(tokens.length + i, content, true));

const tokenizer = byteLevelBpeJson({
  words: LLAMA3_WORDS,
  vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
  merges: merges.map(([left, right]) => `${left} ${right}`),
  added: special,
  post_processor: null,
});

const config = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  added_tokens_decoder: Object.fromEntries(special.map(({ id, ...token }) => [id, token])),
  bos_token: '<|begin_of_text|>',
  eos_token: '<|im_end|>',
  pad_token: '<|pad|>',
  clean_up_tokenization_spaces: false,
  model_input_names: ['input_ids', 'attention_mask'],
  model_max_length: 256,
  chat_template: CHAT_TEMPLATES.chatml.source,
};

mkdirSync('models/tiny', { recursive: true });
writeFileAtomic('models/tiny/tokenizer.json', `${JSON.stringify(tokenizer, null, 1)}\n`);
writeFileAtomic('models/tiny/tokenizer_config.json', `${JSON.stringify(config, null, 2)}\n`);
console.log(`${tokens.length + special.length} tokens, ${merges.length} merges`);

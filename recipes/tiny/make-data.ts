/** Writes data/tiny: conversations to fine-tune on, and questions that none of them asks. */
import { mkdirSync } from 'node:fs';
import { Random } from '../../src/data/random.ts';
import { writeFileAtomic } from '../../src/files/write-file.ts';
import { answerText, type Question, questionText, randomQuestion, SMALL_TALK } from './conversations.ts';
import { decimal, pairKey } from './decimal.ts';

const TRAIN = 640;
const SMALL_TALK_SHARE = 0.08;
const HELD_OUT = 200;

const random = new Random(2024);
const used = new Set<string>();

/** A question about a pair that no question before was about. */
function fresh(options: { heldOut: boolean }): Question {
  for (;;) {
    const question = randomQuestion(random, options);
    const key = pairKey(decimal(question.a), decimal(question.b));
    if (used.has(key)) continue;
    used.add(key);
    return question;
  }
}

const turns = (question: string, answer: string) =>
  JSON.stringify({
    conversations: [
      { from: 'human', value: question },
      { from: 'gpt', value: answer },
    ],
  });

const train = Array.from({ length: TRAIN }, () => {
  if (random.uniform() < SMALL_TALK_SHARE) return turns(...random.pick(SMALL_TALK));
  const question = fresh({ heldOut: false });
  return turns(questionText(question), answerText(question));
});
const heldOut = Array.from({ length: HELD_OUT }, () => {
  const question = fresh({ heldOut: true });
  return JSON.stringify({ question: questionText(question), answer: answerText(question) });
});

mkdirSync('data/tiny', { recursive: true });
writeFileAtomic('data/tiny/train.jsonl', `${train.join('\n')}\n`);
writeFileAtomic('data/tiny/heldout.jsonl', `${heldOut.join('\n')}\n`);

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../errors.ts';
import { answers, type Speaker } from '../generate/chat.ts';

const questionSchema = z.object({ question: z.string(), answer: z.string() });

/** A question with the one answer that counts as right. */
export type HeldOut = z.infer<typeof questionSchema>;

/**
 * Reads questions that training must not have seen: JSON Lines of {"question", "answer"}.
 *
 * @throws UserError naming file and line of a fault
 */
export function readHeldOut(file: string): HeldOut[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, i) => {
      if (line.trim() === '') return [];
      try {
        return [questionSchema.parse(JSON.parse(line))];
      } catch {
        throw new UserError(`${file}:${i + 1}: is not {"question": text, "answer": text}; correct the line`);
      }
    });
}

/** How many questions a model answers rightly, word for word, greedily. */
export async function countRight(
  speaker: Speaker,
  questions: readonly HeldOut[],
  max_new_tokens: number,
): Promise<number> {
  const given = await answers(
    speaker,
    questions.map(({ question }) => question),
    { max_new_tokens },
  );
  return given.filter((text, i) => text.trim() === questions[i].answer).length;
}

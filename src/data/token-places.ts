import { complain } from '../errors.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Says which tokens hold the text before and after a place in it, places in the order of the text.
 *
 * Mostly a place is a border between tokens: then the text up to it has the same tokens alone. Where a token goes across,
 * for example a line break of a header and one that an answer begins with, its place shows in the text of the tokens.
 */
export class TokenPlaces {
  readonly #tokenizer: Tokenizer;
  readonly #text: string;
  readonly #ids: Int32Array;
  /** The last place that was found to be a border, and the token that begins there. */
  #place = 0;
  #token = 0;

  /** @param ids of the text */
  constructor(tokenizer: Tokenizer, text: string, ids: Int32Array) {
    this.#tokenizer = tokenizer;
    this.#text = text;
    this.#ids = ids;
  }

  /** The first token that holds text from `place` on. */
  firstFrom(place: number): number {
    return this.#isBorder(place) ? this.#token : this.#holderOf(place);
  }

  /** The token after the last that holds text before `place`. */
  afterLastBefore(place: number): number {
    return this.#isBorder(place) ? this.#token : this.#holderOf(place - 1) + 1;
  }

  #isBorder(place: number): boolean {
    const ids = this.#tokenizer.encode(this.#text.slice(this.#place, place));
    if (!ids.every((id, i) => id === this.#ids[this.#token + i])) return false;
    this.#place = place;
    this.#token += ids.length;
    return true;
  }

  /** The first token whose text ends behind the character at `place`, or in its middle. */
  #holderOf(place: number): number {
    let [low, high] = [this.#token, this.#ids.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#reaches(middle, place)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /**
   * Whether the tokens up to one hold some of the character at `place`.
   * @throws UserError for tokenizers that do not give the text back
   */
  #reaches(token: number, place: number): boolean {
    const text = this.#tokenizer.decode(this.#ids.subarray(this.#token, token + 1));
    if (this.#text.startsWith(text, this.#place)) return this.#place + text.length > place;
    // A token may end in the middle of a character.
    const whole = text.replace(/\ufffd+$/, '');
    if (whole.length < text.length && this.#text.startsWith(whole, this.#place))
      return this.#place + whole.length >= place;
    throw complain({
      where: `tokenizer in ${this.#tokenizer.directory}`,
      got: `a token across the border of an answer, near ${this.#around(place)}, and tokens with another text than the conversation`,
      expected: 'a tokenizer that gives back the text it was given',
      remedy: "remove the white space around the answer, or train on 'all'",
    });
  }

  #around(place: number): string {
    return JSON.stringify(this.#text.slice(Math.max(0, place - 12), place + 12));
  }
}

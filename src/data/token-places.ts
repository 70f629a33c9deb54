import { complain } from '../errors.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Characters, besides a special token, that have to stand in front of a piece of text to show how it goes on there. */
const CONTEXT = 8;

/**
 * Says which tokens hold the text before and after a place in it. Fast for places in the order of the text.
 *
 * Tokens are held against the text by their bytes, so that a character cut between tokens, or a token that goes across a
 * place, needs no care. Where a tokenizer writes the text differently (puts a space in front, composes accents), so it does
 * with pieces of it: then the bytes of the pieces count.
 */
export class TokenPlaces {
  readonly #tokenizer: Tokenizer;
  readonly #text: string;
  /** Of all tokens. */
  readonly #bytes: Uint8Array;
  /** [tokens]: how many bytes there are up to the end of a token. */
  readonly #ends: Int32Array;
  /** Whether the bytes of the tokens are those of the text. */
  readonly #same: boolean;
  /** The last place that was asked for, in characters of the text and in bytes of the tokens. */
  #place = 0;
  #byte = 0;

  /** @param ids of the text */
  constructor(tokenizer: Tokenizer, text: string, ids: Int32Array) {
    this.#tokenizer = tokenizer;
    this.#text = text;
    this.#bytes = bytesOf(tokenizer, ids);
    let end = 0;
    this.#ends = ids.map((id) => {
      end += tokenizer.bytesOf(id).length;
      return end;
    });
    this.#same = Buffer.from(text).equals(this.#bytes);
  }

  /** The first token that holds text from `place` on. */
  firstFrom(place: number): number {
    const byte = this.#byteAt(this.#isInPair(place) ? place - 1 : place);
    return this.#firstEndingFrom(byte + 1);
  }

  /** The token after the last that holds text before `place`. */
  afterLastBefore(place: number): number {
    const byte = this.#byteAt(this.#isInPair(place) ? place + 1 : place);
    return byte === 0 ? 0 : this.#firstEndingFrom(byte) + 1;
  }

  /** Whether the code units at a place are two halves of one character. */
  #isInPair(place: number): boolean {
    return place > 0 && (this.#text.codePointAt(place - 1) ?? 0) > 0xffff;
  }

  #firstEndingFrom(byte: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle] >= byte) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** How many bytes of the tokens stand before a place. */
  #byteAt(place: number): number {
    if (place < this.#place) [this.#place, this.#byte] = [0, 0];
    this.#byte += this.#same
      ? Buffer.byteLength(this.#text.slice(this.#place, place))
      : this.#lengthInTokens(this.#place, place);
    this.#place = place;
    return this.#byte;
  }

  /** How many bytes the tokenizer makes of the text from `start` to `end`, with the text before it as it is. */
  #lengthInTokens(start: number, end: number): number {
    // What a tokenizer puts in front of a text, or behind a special token, must not count for the piece.
    let from = Math.max(0, start - CONTEXT - this.#tokenizer.longestAdded);
    if (this.#isInPair(from)) from--;
    const before = this.#encoded(from, start);
    const both = this.#encoded(from, end);
    const piece = both.subarray(before.length);
    const there = this.#bytes.subarray(this.#byte, this.#byte + piece.length);
    if (both.subarray(0, before.length).equals(before) && piece.equals(there)) return piece.length;
    throw complain({
      where: `tokenizer in ${this.#tokenizer.directory}`,
      got: `tokens that write the text across the border of an answer differently, near ${this.#around(end)}`,
      expected: 'a border on which no normalisation goes across',
      remedy: "remove the white space or the accents at that border, or train on 'all'",
    });
  }

  #encoded(start: number, end: number): Buffer {
    return bytesOf(this.#tokenizer, this.#tokenizer.encode(this.#text.slice(start, end)));
  }

  #around(place: number): string {
    return JSON.stringify(this.#text.slice(Math.max(0, place - 12), place + 12));
  }
}

function bytesOf(tokenizer: Tokenizer, ids: ArrayLike<number>): Buffer {
  return Buffer.concat(Array.from(ids, (id) => tokenizer.bytesOf(id)));
}

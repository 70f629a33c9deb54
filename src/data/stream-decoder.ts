import type { Tokenizer } from './tokenizer.ts';

/** What a decoder shows for bytes that are not, or not yet, a character. */
const REPLACEMENT = '\uFFFD';

/**
 * Turns a stream of ids into text that can be printed at once: a character whose bytes are spread over several tokens
 * comes out whole with its last token. The pieces together are what decoding all ids at once gives.
 */
export class StreamDecoder {
  private readonly tokenizer: Tokenizer;
  private readonly skipSpecial: boolean;
  /** Ids of the open character, after the last one that is settled: some decoders look at what is before a token. */
  private ids: number[] = [];
  /** How much of the text of `ids` is out already. */
  private released = 0;

  constructor(tokenizer: Tokenizer, options: { skipSpecial?: boolean } = {}) {
    this.tokenizer = tokenizer;
    this.skipSpecial = options.skipSpecial ?? false;
  }

  /** Takes the next id; returns the text it completes, '' while a character is open. */
  push(id: number): string {
    this.ids.push(id);
    const text = this.text();
    // An unfinished character shows as exactly one replacement at the end; those before it are final.
    const open = text.endsWith(REPLACEMENT);
    const settled = open ? text.length - 1 : text.length;
    const fresh = text.slice(this.released, settled);
    this.released = Math.max(this.released, settled);
    if (!open) {
      this.ids = [id];
      this.released = this.text().length;
    }
    return fresh;
  }

  /** Ends the stream: returns what is left, with U+FFFD for an unfinished character. */
  flush(): string {
    const rest = this.text().slice(this.released);
    this.ids = [];
    this.released = 0;
    return rest;
  }

  private text(): string {
    return this.tokenizer.decode(this.ids, { skipSpecial: this.skipSpecial });
  }
}

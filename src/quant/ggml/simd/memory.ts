import { SPAN } from '../group-search.ts';

/**
 * Where the kernels find and leave things: one small memory for all of them, since a search is over before the next
 * begins. Addresses are bytes.
 */
const BYTES = 4 * SPAN;

/** Numbers of up to sixteen groups. */
export const VARIANCES = 0;
export const SCALES = 64;
export const MINS = 128;
export const SUMS = 192;
/** What codes of the search follow from: code = x times step, less a start; or a mask of groups that are not zero. */
export const STEPS = 256;
export const STARTS = 320;
/** Scales of four blocks as f16. */
export const HALVES = 384;
/** A byte each for the span's values. */
export const CODES = 512;
/** The span and its importance, in order. */
export const VALUES = BYTES;
export const IMPORTANCE = 2 * BYTES;
/** The span and numbers that go with it, element by element of four groups at a time. */
export const X = 3 * BYTES;
export const W = 4 * BYTES;
export const WX = 5 * BYTES;
export const L = 6 * BYTES;

/** Values that the kernels without a search take at once, and their place and that of the blocks. */
export const CHUNK = 4096;
export const INPUT = 16 * BYTES;
export const OUTPUT = INPUT + 4 * CHUNK;

export const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });

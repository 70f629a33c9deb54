import type { Tensor } from '../tensor/tensor.ts';
import type { Tape } from './tape.ts';

/** Which tape listens, and what has been applied. */
export const recording = {
  tape: null as Tape | null,
  /** Operations applied so far, and the output of the last: how a segment knows the operation that ends it. */
  applied: 0,
  latest: null as Tensor | null,
};

/** Runs `fn` with its operations recorded on `tape`; if it throws, the tape lets go of everything and is used up. */
export function withTape<T>(tape: Tape, fn: () => T): T {
  tape.assertOpen('withTape');
  try {
    return recordOn(tape, fn);
  } catch (error) {
    tape.release();
    throw error;
  }
}

/** Runs `fn` without recording. */
export function noGrad<T>(fn: () => T): T {
  return recordOn(null, fn);
}

function recordOn<T>(tape: Tape | null, fn: () => T): T {
  const outer = recording.tape;
  recording.tape = tape;
  try {
    return fn();
  } finally {
    recording.tape = outer;
  }
}

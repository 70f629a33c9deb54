import { InvalidArgumentError } from 'commander';
import type { Checkpointing } from '../../src/autograd/tape.ts';

/** The one that needs least memory first: a device that ran out of it measures no other. */
export const CHECKPOINTING_MODES: readonly Checkpointing[] = ['offload', 'full', 'selective', 'none'];

/** Parses names with commas between them, each one of `choices`. */
export function listOf<T extends string>(choices: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(',').map((name) => {
      if (!choices.includes(name as T)) throw new InvalidArgumentError(`choose from ${choices.join(', ')}`);
      return name as T;
    });
}

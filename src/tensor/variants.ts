import type { KernelChoice } from './pipelines.ts';

/** A kernel variant as the null backend compiles it in tests: everything that launchers can ask for. */
export interface KernelVariant extends KernelChoice {
  /** Names of the storage bindings that the launcher passes. */
  bindings: readonly string[];
  /** Adapter capability without which the variant is not used. */
  requires?: 'f16' | 'subgroup-matrix';
  /** Bytes of workgroup memory that the launcher makes sure of, if more than the 32 KiB of every adapter. */
  workgroupBytes?: number;
}

/** Every combination of values for some defines. */
export function combinations(choices: Readonly<Record<string, readonly string[]>>): Record<string, string>[] {
  return Object.entries(choices).reduce<Record<string, string>[]>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

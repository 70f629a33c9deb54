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
export function combinations<K extends string, V extends string>(
  choices: Readonly<Record<K, readonly V[]>>,
): Record<K, V>[] {
  return Object.entries<readonly V[]>(choices).reduce<Record<string, V>[]>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  ) as Record<K, V>[];
}

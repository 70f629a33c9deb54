import type { GgmlType } from './types.ts';

/** The type that a kind of file means a matrix to have, and the one that it takes. */
export interface MatrixType {
  wanted: GgmlType;
  type: GgmlType;
}

/** Says which types took the place of others because of narrow rows, as llama-quantize does; null where none did. */
export function fallbackNote(model: string, matrices: readonly MatrixType[]): string | null {
  const counts = new Map<string, number>();
  for (const { wanted, type } of matrices)
    if (wanted !== type) {
      const change = `${type} instead of ${wanted}`;
      counts.set(change, (counts.get(change) ?? 0) + 1);
    }
  if (counts.size === 0) return null;
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const changes = [...counts].map(([change, count]) => `${change} (${count})`).join(', ');
  const what =
    all === 1
      ? 'has rows that are no multiple of a block, and takes another type'
      : 'have rows that are no multiple of a block, and take other types';
  return `${model}: ${all} of ${matrices.length} matrices ${what}: ${changes}`;
}

import { renameSync, writeFileSync } from 'node:fs';

/** Writes a small file under a temporary name and renames it, so that no reader sees half of it. */
export function writeFileAtomic(file: string, contents: string | Uint8Array): void {
  const temporary = `${file}.part`;
  writeFileSync(temporary, contents);
  renameSync(temporary, file);
}

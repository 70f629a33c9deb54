import { readdirSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';

const PART = /^-\d{5}-of-\d{5}\.gguf$/;

/**
 * Removes what an earlier export left beside the new files of a model: parts of another division, and the whole file
 * where there are parts now. What the model itself was read from stays, with all its parts.
 *
 * @param file name of the model without a division
 * @param written its new files
 * @param source directory or file that the model was read from
 */
export function removeStaleParts(file: string, written: readonly string[], source: string): void {
  const dir = path.dirname(file);
  const name = path.basename(file, '.gguf');
  const stale = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.startsWith(name))
    .filter((entry) => entry.name === `${name}.gguf` || PART.test(entry.name.slice(name.length)))
    .map((entry) => path.join(dir, entry.name))
    .filter((each) => !written.includes(each));
  if (stale.some((each) => realpathSync(each) === realpathSync(source))) return;
  for (const each of stale) rmSync(each);
}

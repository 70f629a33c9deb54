import { readFileSync, statSync } from 'node:fs';
import { explained, UserError } from '../errors.ts';

/** Configurations are kilobytes, indexes of shards a few megabytes. */
const MOST_BYTES = 100_000_000;

/**
 * Reads a JSON file; a byte order mark is skipped.
 *
 * @param remedy what helps when the file is damaged
 * @throws UserError naming the file that is missing or no JSON
 */
export function readJsonFile(file: string, remedy: string): unknown {
  let text: string;
  try {
    const stat = statSync(file);
    // A pipe or a device may never end; directories are named by the error of reading one.
    if (!stat.isFile() && !stat.isDirectory()) throw new UserError(`${file}: is no regular file; ${remedy}`);
    if (stat.size > MOST_BYTES)
      throw new UserError(`${file}: has ${stat.size} bytes, too many for a file of its name; ${remedy}`);
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    if (error instanceof TypeError) throw new UserError(`${file}: is no UTF-8 text; ${remedy}`);
    throw explained(error, file);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const pointer = text.startsWith('version https://git-lfs');
    throw new UserError(
      pointer
        ? `${file}: is a pointer of Git LFS, not the file itself; fetch it with \`git lfs pull\``
        : `${file}: is no JSON (${(error as Error).message}); ${remedy}`,
    );
  }
}

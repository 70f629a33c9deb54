import { existsSync } from 'node:fs';
import path from 'node:path';
import { complain } from '../../errors.ts';
import type { GgufMetadata } from './metadata.ts';

const MAX_PARTS = 65_535;

/**
 * Files of a model that llama.cpp has split (`name-00001-of-00003.gguf` and so on), given its first; a model that is
 * not split is its own only part.
 *
 * @throws UserError for a part other than the first, a name of another form, and missing parts
 */
export function partNames(file: string, metadata: GgufMetadata): string[] {
  const count = metadata.whole('split.count', 0);
  if (count <= 1) return [file];
  if (count > MAX_PARTS)
    throw metadata.error(
      'split.count',
      String(count),
      `at most ${MAX_PARTS}`,
      'the file is damaged: download it again',
    );
  const partName = namesOfParts(file, count);
  checkFirstPart(file, metadata);
  return Array.from({ length: count }, (_, index) => {
    const part = path.join(path.dirname(file), partName(index));
    if (!existsSync(part))
      throw complain({
        where: file,
        got: `no file ${partName(index)} beside it`,
        expected: `all ${count} parts`,
        remedy: 'download the missing part into the same directory',
      });
    return part;
  });
}

/** What the parts of a model are called, given one of them. */
function namesOfParts(file: string, count: number): (index: number) => string {
  const prefix = /^(.*)-\d{5,}-of-\d{5,}\.gguf$/s.exec(path.basename(file))?.[1] ?? 'NAME';
  return (index) => `${prefix}-${digits(index + 1)}-of-${digits(count)}.gguf`;
}

/**
 * Checks that a file is a whole model or the first part of one, which has the metadata of the others too.
 *
 * @throws UserError for another part, or a name that the others cannot be found by
 */
export function checkFirstPart(file: string, metadata: GgufMetadata): void {
  const count = metadata.whole('split.count', 0);
  if (count <= 1) return;
  const number = metadata.whole('split.no', 0);
  const first = namesOfParts(file, count)(0);
  if (number === 0 && path.basename(file) === first) return;
  throw complain({
    where: file,
    got: `part ${number + 1} of a model split into ${count} files`,
    expected: `the first part, named ${first}`,
    remedy: 'pass the first part, with all parts under the names that llama.cpp gave them',
  });
}

/** Checks that a file is part `index` (from 0) of its model. */
export function checkPart(metadata: GgufMetadata, index: number): void {
  const number = metadata.whole('split.no');
  if (number !== index)
    throw metadata.error('split.no', String(number), String(index), 'give the parts back their original names');
}

const digits = (number: number) => String(number).padStart(5, '0');

import { readFileSync } from 'node:fs';
import YAML from 'yaml';
import { complain, explained, UserError } from '../errors.ts';

/** A recipe's keys and values, and the line that each key stands on. */
export interface Recipe {
  values: Record<string, unknown>;
  line: (key: string) => number;
}

/** A recipe is a few kilobytes; a mistyped path may lead to a checkpoint. */
const MOST_BYTES = 1_000_000;

/** @throws UserError with file and line for a recipe that is missing, no YAML, or no list of keys and values */
export function readRecipe(file: string): Recipe {
  const text = readText(file);
  const lines = new YAML.LineCounter();
  const document = YAML.parseDocument(text, { lineCounter: lines });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault)
    throw new UserError(
      `${file}:${fault.linePos?.[0].line ?? 1}: is no YAML (${fault.message.split('\n')[0].replace(/ at line .*/, '')}); correct the line`,
    );
  let values: unknown;
  try {
    values = document.toJS();
  } catch (error) {
    throw new UserError(`${file}: is no YAML (${(error as Error).message}); correct it`);
  }
  if (values === null || typeof values !== 'object' || Array.isArray(values))
    throw complain({
      where: file,
      got: values === null ? 'an empty file' : 'something else',
      expected: 'lines of keys and values',
      remedy: 'write a line such as `learning_rate: 2e-4`, or start from recipes/tiny.yaml',
    });
  return { values: values as Record<string, unknown>, line: (key) => lineOf(document, lines, key) };
}

function readText(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw explained(error, file);
  }
  if (bytes.byteLength > MOST_BYTES)
    throw complain({
      where: file,
      got: `${bytes.byteLength} bytes`,
      expected: 'a YAML recipe',
      remedy: 'pass a recipe such as recipes/tiny.yaml',
    });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${file}: is no UTF-8 text; save the recipe as UTF-8`);
  }
}

function lineOf(document: YAML.Document.Parsed, lines: YAML.LineCounter, key: string): number {
  if (!YAML.isMap(document.contents)) return 1;
  const pair = document.contents.items.find((item) => YAML.isScalar(item.key) && item.key.value === key);
  const range = (pair?.key as YAML.Scalar | undefined)?.range;
  return range ? lines.linePos(range[0]).line : 1;
}

import { z } from 'zod';
import { clipped, complain, UserError } from '../errors.ts';
import { type ConfigKey, type TrainConfig, trainConfigSchema } from './config.ts';
import { ownName } from './foreign-names.ts';

/** A key of the configuration in words, for help and errors. */
export interface KeyInfo {
  name: ConfigKey;
  description: string;
  fallback: unknown;
  kind: 'boolean' | 'number' | 'choice' | 'text' | 'list';
  /** Values of a choice. */
  choices: readonly string[];
  /** What it accepts, for example `a whole number from 1 to 8192`. */
  accepts: string;
}

interface Property {
  type?: string;
  enum?: string[];
  const?: unknown;
  anyOf?: Property[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  description?: string;
  default?: unknown;
}

/** Every key of the configuration in words, taken from the schema itself. */
export function configKeys(): KeyInfo[] {
  const { properties = {} } = z.toJSONSchema(trainConfigSchema, { io: 'input' });
  return Object.entries(properties as Record<string, Property>).map(([name, property]) => ({
    name: name as ConfigKey,
    description: property.description ?? '',
    fallback: property.default,
    kind: kindOf(property),
    choices: property.enum ?? [],
    accepts: accepts(property),
  }));
}

function kindOf(property: Property): KeyInfo['kind'] {
  const types = [property, ...(property.anyOf ?? [])].map(({ type }) => type);
  if (property.enum) return 'choice';
  if (types.includes('array')) return 'list';
  if (types.includes('boolean')) return 'boolean';
  return types.includes('number') || types.includes('integer') ? 'number' : 'text';
}

function accepts(property: Property): string {
  if (property.anyOf) return property.anyOf.map(accepts).join(' or ');
  if (property.enum) return `one of ${property.enum.join(', ')}`;
  if (property.const !== undefined) return String(property.const);
  const { type, minimum, maximum, exclusiveMinimum, exclusiveMaximum } = property;
  if (type === 'boolean') return 'true or false';
  if (type === 'null') return 'null';
  if (type === 'array') return 'a list of names';
  if (type === 'string') return 'text';
  const bounds = [
    exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : minimum !== undefined ? `from ${minimum}` : '',
    exclusiveMaximum !== undefined ? `below ${exclusiveMaximum}` : maximum !== undefined ? `to ${maximum}` : '',
  ];
  const range =
    bounds[0].startsWith('above') && maximum !== undefined
      ? `${bounds[0]}, at most ${maximum}`
      : bounds.filter(Boolean).join(' ');
  return `${type === 'integer' ? 'a whole number' : 'a number'} ${range}`.trim();
}

/**
 * Fills defaults and checks every value.
 *
 * @param where the place of a key for errors: a file with its line, or a flag
 * @throws UserError naming the first key that is unknown or has a wrong value
 */
export function parseTrainConfig(
  values: Readonly<Record<string, unknown>>,
  where: (key: string) => string = (key) => key,
): TrainConfig {
  const result = trainConfigSchema.safeParse(values);
  if (result.success) return result.data;
  const keys = configKeys();
  const [issue] = result.error.issues;
  if (issue.code === 'unrecognized_keys') throw unknownKey(issue.keys[0], where, keys);
  const name = String(issue.path[0]);
  throw complain({
    where: where(name),
    got: shown(values[name]),
    expected: keys.find((key) => key.name === name)?.accepts ?? 'another value',
    remedy: `correct ${name}`,
  });
}

function unknownKey(name: string, where: (key: string) => string, keys: readonly KeyInfo[]): UserError {
  const own =
    ownName(name) ??
    closest(
      name,
      keys.map((key) => key.name),
    );
  const remedy = own ? `here it is called ${own}` : 'see `npx tsx train.ts train --help` for the keys there are';
  return new UserError(`${where(name)}: unknown key ${JSON.stringify(clipped(name))}; ${remedy}`);
}

/** A value as it may have been written. */
function shown(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  return clipped(JSON.stringify(value) ?? String(value));
}

/** The name that differs in the fewest places, if these are few. */
function closest(name: string, names: readonly string[]): string | null {
  const ranked = names.map((other) => ({ other, distance: editDistance(name, other) }));
  const [best] = ranked.sort((a, b) => a.distance - b.distance);
  return best.distance < name.length && best.distance <= Math.max(1, name.length / 4) ? best.other : null;
}

/** Levenshtein's distance; names are short. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}

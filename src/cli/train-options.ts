import { type Command, Option } from 'commander';
import YAML from 'yaml';
import { type TrainConfig, trainConfigSchema } from '../train/config.ts';
import { configKeys, type KeyInfo, parseTrainConfig } from '../train/config-check.ts';
import { readRecipe } from './recipe.ts';

/** `max_steps` as a flag, `--max-steps`. */
const flagOf = (name: string) => `--${name.replaceAll('_', '-')}`;
/** `max_steps` as commander keeps it, `maxSteps`; `load_in_4bit` becomes `loadIn4bit`. */
const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Adds a flag for every key of the training configuration; booleans also have a `--no-…`. */
export function addTrainOptions(command: Command): Command {
  for (const key of configKeys()) {
    const option = `${flagOf(key.name)} ${placeholder(key)}`;
    command.addOption(new Option(option, `${key.description} (default: ${shown(key.fallback)})`));
    if (key.kind === 'boolean') command.addOption(new Option(flagOf(`no-${key.name}`)).hideHelp());
  }
  return command;
}

function placeholder({ kind, choices }: KeyInfo): string {
  if (kind === 'boolean') return '[true|false]';
  if (kind === 'choice') return `<${choices.join('|')}>`;
  return { number: '<n>', text: '<text>', list: '<names>' }[kind];
}

function shown(fallback: unknown): string {
  if (fallback === null) return 'none';
  return Array.isArray(fallback) ? fallback.join(',') : String(fallback);
}

/** A flag's text as the value that YAML would read: numbers, booleans, lists in brackets or separated by commas. */
function flagValue({ name, kind }: KeyInfo, text: string | boolean): unknown {
  if (typeof text === 'boolean') return text;
  // A regular expression for target_modules may hold commas and brackets too.
  const list = kind === 'list' && (name === 'modules_to_save' || /^[\w.]+(,\s*[\w.]+)+$|^\[.*\]$/.test(text));
  if (list && text !== 'null') return namesIn(text);
  // Keys that hold text take it as it stands: a path may look like a number.
  if (trainConfigSchema.shape[name].safeParse(text).success) return text;
  if (text.trim() === '') return text;
  try {
    return YAML.parse(text);
  } catch {
    return text;
  }
}

function namesIn(text: string): unknown {
  if (!text.startsWith('[')) return text.split(',').map((part) => part.trim());
  try {
    return YAML.parse(text);
  } catch {
    // A regular expression may begin with a bracket.
    return text;
  }
}

/**
 * Puts a recipe and flags together; flags win.
 *
 * @throws UserError for a recipe that cannot be read, an unknown key or a wrong value
 */
export function trainConfigOf(
  flags: Readonly<Record<string, unknown>>,
  recipe: string | undefined,
  defaults: Partial<TrainConfig> = {},
): TrainConfig {
  const read = recipe === undefined ? null : readRecipe(recipe);
  const values: Record<string, unknown> = { ...defaults, ...read?.values };
  const places = new Map<string, string>();
  for (const key of configKeys()) {
    const given = flags[camel(key.name)];
    if (typeof given !== 'string' && typeof given !== 'boolean') continue;
    values[key.name] = flagValue(key, given);
    places.set(key.name, flagOf(key.name));
  }
  return parseTrainConfig(values, (key) => places.get(key) ?? (read ? `${recipe}:${read.line(key)}` : key));
}

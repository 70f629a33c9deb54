import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import YAML from 'yaml';
import { z } from 'zod';
import { UserError } from '../errors.ts';
import { parseTrainConfig, type TrainConfig, trainConfigSchema } from '../train/config.ts';

/** What a flag needs to know of a key of the schema. */
interface Key {
  name: string;
  description: string;
  fallback: unknown;
  choices: readonly string[] | null;
}

function keys(): Key[] {
  const json = z.toJSONSchema(trainConfigSchema, { io: 'input' });
  return Object.entries(json.properties ?? {}).map(([name, property]) => {
    const {
      description = '',
      default: fallback,
      enum: choices,
    } = property as { description?: string; default?: unknown; enum?: string[] };
    return { name, description, fallback, choices: choices ?? null };
  });
}

/** A flag's text as the value that YAML would read: numbers, booleans, lists in brackets or separated by commas. */
function flagValue(name: string, text: string): unknown {
  if (name === 'target_modules' && text.includes(',') && !text.startsWith('['))
    return text.split(',').map((part) => part.trim());
  if (name === 'modules_to_save' && !text.startsWith('[') && text !== 'null')
    return text.split(',').map((part) => part.trim());
  const schema = trainConfigSchema.shape[name as keyof typeof trainConfigSchema.shape];
  // Keys that hold text take it as it stands: a path may look like a number.
  if (schema.safeParse(text).success) return text;
  try {
    return YAML.parse(text);
  } catch {
    return text;
  }
}

/** Adds a flag for every key of the training configuration: `--learning_rate` and `--learning-rate` are the same. */
export function addTrainOptions(command: Command): Command {
  for (const { name, description, fallback, choices } of keys()) {
    const shown = fallback === undefined ? '' : ` (default: ${JSON.stringify(fallback)})`;
    const flag = name.replaceAll('_', '-');
    const text = `${description}${choices ? `: ${choices.join(', ')}` : ''}${shown}`;
    command.addOption(new Option(`--${flag} <value>`, text));
    if (flag !== name) command.addOption(new Option(`--${name} <value>`).hideHelp());
  }
  return command;
}

/**
 * Puts a recipe and flags together; flags win.
 *
 * @throws UserError for a recipe that cannot be read, an unknown key or a wrong value
 */
export function trainConfigOf(
  flags: Record<string, unknown>,
  recipe: string | undefined,
  defaults: Partial<TrainConfig> = {},
): TrainConfig {
  const values: Record<string, unknown> = { ...defaults, ...(recipe ? readRecipe(recipe) : {}) };
  for (const { name } of keys()) {
    const camel = name.replaceAll('-', '_').replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const text = flags[camel] ?? flags[name];
    if (typeof text === 'string') values[name] = flagValue(name, text);
  }
  return parseTrainConfig(values, recipe ?? 'command line');
}

function readRecipe(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UserError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code}); pass a YAML recipe`);
  }
  let value: unknown;
  try {
    value = YAML.parse(text);
  } catch (error) {
    throw new UserError(`${file}: is not YAML (${(error as Error).message.split('\n')[0]}); correct it`);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new UserError(`${file}: is no list of keys and values; write a line such as \`learning_rate: 2e-4\``);
  return value as Record<string, unknown>;
}

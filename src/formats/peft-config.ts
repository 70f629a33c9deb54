import { z } from 'zod';
import { clipped, complain, UserError } from '../errors.ts';

const pattern = z.record(z.string(), z.number());

/** Fields of adapter_config.json that change what an adapter computes and that dawntune understands. */
const understood = {
  peft_type: z.literal('LORA'),
  r: z.number().int().min(1).max(65536),
  lora_alpha: z.number(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().default(false),
  target_modules: z.union([z.array(z.string()).min(1), z.string()]),
  exclude_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  layers_to_transform: z.union([z.array(z.number().int()), z.number().int()]).nullish(),
  layers_pattern: z.union([z.array(z.string()), z.string()]).nullish(),
  rank_pattern: pattern.default({}),
  alpha_pattern: pattern.default({}),
  modules_to_save: z.array(z.string()).nullish(),
  base_model_name_or_path: z.string().nullish(),
};

/** Fields that must have the value under which they change nothing; another value is an error, not ignored. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  use_dora: [false],
  use_qalora: [false],
  lora_bias: [false],
  fan_in_fan_out: [false],
  bias: ['none'],
  layer_replication: [null],
  alora_invocation_tokens: [null],
  arrow_config: [null],
  target_parameters: [null],
  trainable_token_indices: [null],
  use_bdlora: [null, false],
  kasa_config: [null],
  monteclora_config: [null],
  velora_config: [null],
};

/** Starts that leave the base model as it is; others (pissa, olora, corda, loftq, ...) train against an altered one. */
const PLAIN_STARTS: readonly unknown[] = [true, false, 'gaussian', 'orthogonal', 'eva'];

/** Fields that describe the adapter or how it was trained, and change nothing of what it computes. */
const DESCRIPTIVE: ReadonlySet<string> = new Set([
  ...['auto_mapping', 'corda_config', 'ensure_weight_tying', 'eva_config', 'inference_mode', 'init_lora_weights'],
  ...['loftq_config', 'lora_ga_config', 'megatron_config', 'megatron_core', 'peft_version', 'qalora_group_size'],
  ...['revision', 'runtime_config', 'task_type'],
]);

const schema = z.looseObject(understood);

/** A LoRA adapter's configuration; names as in PEFT's LoraConfig. */
export type PeftConfig = {
  [K in keyof typeof understood]: z.infer<(typeof understood)[K]>;
};

/**
 * Checks adapter_config.json.
 *
 * @throws UserError naming the first field that is wrong, or that asks for something unsupported
 */
export function parsePeftConfig(json: unknown, where: string): PeftConfig {
  const result = schema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const kind = (json as { peft_type?: unknown } | null)?.peft_type;
    if (issue.path[0] === 'peft_type' && typeof kind === 'string')
      throw complain({
        where: `${where}: peft_type`,
        got: kind,
        expected: 'LORA',
        remedy: 'use a LoRA adapter; other kinds are not supported',
      });
    throw new UserError(
      `${where}: ${issue.path.join('.') || 'content'}: ${issue.message}; expected a PEFT LoRA configuration: save the adapter again`,
    );
  }
  for (const [key, neutral] of Object.entries(NEUTRAL)) {
    const value = result.data[key] ?? null;
    if (value !== null && !neutral.includes(value))
      throw new UserError(
        `${where}: ${key} = ${clipped(JSON.stringify(value), 60)} is not supported; only plain and rank-stabilised LoRA are`,
      );
  }
  const { init_lora_weights: start = true } = result.data;
  if (start !== null && !PLAIN_STARTS.includes(start))
    throw new UserError(
      `${where}: init_lora_weights = ${clipped(JSON.stringify(start), 60)} belongs to an altered base model; save the adapter with PEFT's path_initial_model_for_weight_conversion first`,
    );
  for (const [key, value] of Object.entries(result.data))
    if (!(key in understood || key in NEUTRAL || DESCRIPTIVE.has(key)) && !isEmpty(value))
      throw new UserError(
        `${where}: ${clipped(key, 60)} = ${clipped(JSON.stringify(value), 60)} is not known and may change what the adapter computes; remove the field if it does not`,
      );
  checkPatterns(result.data, where);
  return result.data as PeftConfig;
}

/** @throws UserError for a regular expression that is none, with the place of the configuration */
function checkPatterns(config: z.infer<typeof schema>, where: string): void {
  const { target_modules: targets, exclude_modules: excluded, layers_pattern: layers } = config;
  const patterns = [targets, excluded, ...[layers].flat()].filter((value) => typeof value === 'string');
  for (const source of [...patterns, ...Object.keys(config.rank_pattern), ...Object.keys(config.alpha_pattern)])
    try {
      new RegExp(`(?:${source})`);
    } catch (error) {
      throw complain({
        where,
        got: `the pattern ${JSON.stringify(source)}`,
        expected: `a regular expression (${(error as Error).message.split(': ').at(-1)})`,
        remedy: 'correct it',
      });
    }
}

function isEmpty(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === null || value === false;
}

/** Rank of the adapter of a module. */
export function rankOf(config: PeftConfig, module: string): number {
  return byPattern(config.rank_pattern, module) ?? config.r;
}

/** adapter_config.json as PEFT 0.21 writes it, with every field it would have. */
export function peftConfigJson(config: PeftConfig): Record<string, unknown> {
  return {
    alora_invocation_tokens: null,
    alpha_pattern: config.alpha_pattern,
    arrow_config: null,
    auto_mapping: null,
    base_model_name_or_path: config.base_model_name_or_path ?? null,
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: config.exclude_modules ?? null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    kasa_config: null,
    layer_replication: null,
    layers_pattern: config.layers_pattern ?? null,
    layers_to_transform: config.layers_to_transform ?? null,
    loftq_config: {},
    lora_alpha: config.lora_alpha,
    lora_bias: false,
    lora_dropout: config.lora_dropout,
    lora_ga_config: null,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: config.modules_to_save ?? null,
    monteclora_config: null,
    peft_type: 'LORA',
    peft_version: '0.21.0',
    qalora_group_size: 16,
    r: config.r,
    rank_pattern: config.rank_pattern,
    revision: null,
    target_modules: config.target_modules,
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_bdlora: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: config.use_rslora,
    velora_config: null,
  };
}

/** One linear layer that a configuration adapts. */
export interface Target {
  module: string;
  r: number;
  lora_alpha: number;
  /** alpha/r, or alpha/√r with use_rslora. */
  scaling: number;
}

/**
 * Which of a model's linear layers an adapter configuration picks, with rank and scaling of each, by PEFT's rules:
 * a list matches whole names or their ends, a string is a regular expression for the whole name, and keys of the
 * patterns are regular expressions for the end of a name.
 *
 * @throws UserError when a target matches nothing
 */
export function resolveTargets(config: PeftConfig, modules: readonly string[]): Target[] {
  const { target_modules: targets, exclude_modules: excluded } = config;
  // PEFT's "all-linear" leaves the output layer out.
  const candidates =
    targets === 'all-linear'
      ? modules.filter((name) => name !== 'lm_head')
      : modules.filter((name) => matches(name, targets));
  if (Array.isArray(targets))
    for (const target of targets)
      if (!candidates.some((name) => matches(name, [target]))) throw nothing(target, modules);
  const chosen = candidates.filter((name) => !(excluded && matches(name, excluded)) && inLayers(name, config));
  if (chosen.length === 0) throw nothing(String(targets), modules);
  return chosen.map((module) => {
    const r = rankOf(config, module);
    const alpha = byPattern(config.alpha_pattern, module) ?? config.lora_alpha;
    if (!Number.isInteger(r) || r < 1)
      throw complain({
        where: `adapter: rank of ${module}`,
        got: String(r),
        expected: 'a whole number from 1',
        remedy: 'change r or rank_pattern',
      });
    return { module, r, lora_alpha: alpha, scaling: alpha / (config.use_rslora ? Math.sqrt(r) : r) };
  });
}

function nothing(target: string, modules: readonly string[]): UserError {
  const known = [...new Set(modules.map((name) => name.split('.').at(-1)))];
  return complain({
    where: 'adapter: target_modules',
    got: `${JSON.stringify(clipped(target))}, which matches no linear layer`,
    expected: `some of ${known.join(', ')}`,
    remedy: 'correct the name',
  });
}

function matches(name: string, targets: readonly string[] | string): boolean {
  if (typeof targets === 'string') return new RegExp(`^(?:${targets})$`).test(name);
  return targets.some((target) => name === target || name.endsWith(`.${target}`));
}

function inLayers(name: string, { layers_to_transform: layers, layers_pattern: pattern }: PeftConfig): boolean {
  if (layers === null || layers === undefined) return true;
  const parents = pattern
    ? [pattern]
        .flat()
        .map((p) => `(?:${p})`)
        .join('|')
    : '[^.]*';
  const index = new RegExp(`\\.(?:${parents})\\.(\\d+)\\.`).exec(name)?.[1];
  return index !== undefined && [layers].flat().includes(Number(index));
}

function byPattern(patterns: Readonly<Record<string, number>>, name: string): number | undefined {
  const key = Object.keys(patterns).find((text) => name === text || new RegExp(`^(?:.*\\.)?(?:${text})$`).test(name));
  return key === undefined ? undefined : patterns[key];
}

import { complain } from '../errors.ts';
import { fromFloat32 } from '../formats/elements.ts';
import { interleaveHeads, reorderedHeads } from '../formats/gguf/heads.ts';
import { ggufName } from '../formats/gguf/names.ts';
import { type GgufTensor, type GgufValue, writeGguf } from '../formats/gguf/writer.ts';
import type { LlamaConfig } from '../formats/hf-config.ts';
import type { SavedAdapter } from '../formats/peft.ts';
import { resolveTargets, type Target } from '../formats/peft-config.ts';
import { PREFIX } from '../lora/attach.ts';
import { weightShapes } from './init.ts';

export interface AdapterGguf {
  file: string;
  adapter: SavedAdapter;
  /** Of the base model. */
  config: LlamaConfig;
  /** Name shown by programs that open the file. */
  name: string;
}

/**
 * Writes a LoRA adapter as the GGUF file that llama.cpp applies to a base model (`--lora`), in f32, as its
 * convert_lora_to_gguf.py lays it out.
 *
 * llama.cpp knows one alpha for all modules and scales by alpha / rank of the module; what that cannot say, such as
 * rank-stabilised scaling of different ranks, is multiplied into B.
 *
 * @throws UserError for an adapter with more than A and B of the blocks' linear layers, and for one of another model
 */
export async function writeAdapterGguf({ file, adapter, config, name }: AdapterGguf): Promise<void> {
  const shapes = weightShapes(config);
  const modules = [...shapes.keys()]
    .filter((weight) => /(_proj|lm_head)\.weight$/.test(weight))
    .map((weight) => weight.replace(/\.weight$/, ''));
  const targets = resolveTargets(adapter.config, modules);
  checkOnlyLora(adapter, targets);
  const alpha = commonAlpha(targets);
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.name', { type: 'string', value: name }],
    ['general.file_type', { type: 'u32', value: 0 }],
    ['general.quantization_version', { type: 'u32', value: 2 }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'f32', value: alpha }],
  ]);
  const tensors = targets.flatMap((target) =>
    loraTensors(target, adapter, config, shapes.get(`${target.module}.weight`) as number[], alpha),
  );
  await writeGguf(file, metadata, tensors);
}

function loraTensors(
  { module, r, scaling }: Target,
  { tensors }: SavedAdapter,
  config: LlamaConfig,
  [out, width]: readonly number[],
  alpha: number,
): GgufTensor[] {
  const a = matrix(tensors, `${PREFIX}${module}.lora_A.weight`, [r, width]);
  const b = matrix(tensors, `${PREFIX}${module}.lora_B.weight`, [out, r]);
  const heads = reorderedHeads(module, config);
  const factor = (scaling * r) / alpha;
  const scaled = Math.fround(factor) === 1 ? b : b.map((value) => value * factor);
  const name = ggufName(`${module}.weight`);
  const tensor = (suffix: string, shape: number[], values: Float32Array): GgufTensor => ({
    name: `${name}.${suffix}`,
    shape,
    type: 'f32',
    bytes: async () => fromFloat32(values, 'F32'),
  });
  return [
    tensor('lora_a', [r, width], a),
    tensor('lora_b', [out, r], heads > 0 ? interleaveHeads(scaled, heads, out) : scaled),
  ];
}

/** The alpha that most modules have, as alpha / rank would scale them; never 0, which llama.cpp takes for "no scaling". */
function commonAlpha(targets: readonly Target[]): number {
  const counts = new Map<number, number>();
  for (const { scaling, r } of targets) counts.set(scaling * r, (counts.get(scaling * r) ?? 0) + 1);
  counts.delete(0);
  const [alpha = 1] = [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)!);
  return Math.fround(alpha);
}

function matrix(
  tensors: ReadonlyMap<string, Float32Array>,
  name: string,
  [rows, width]: readonly number[],
): Float32Array {
  const values = tensors.get(name);
  if (values?.length === rows * width) return values;
  throw complain({
    where: `adapter as GGUF: ${name}`,
    got: values ? `${values.length} elements` : 'no such tensor',
    expected: `[${rows}, ${width}]`,
    remedy: 'check that the adapter belongs to its configuration and base model',
  });
}

/** Refuses what llama.cpp's adapters have no place for. */
function checkOnlyLora({ config, tensors }: SavedAdapter, targets: readonly Target[]): void {
  const places = new Set(targets.flatMap(({ module }) => ['A', 'B'].map((m) => `${PREFIX}${module}.lora_${m}.weight`)));
  const extra = [...tensors.keys()].find((name) => !places.has(name)) ?? config.modules_to_save?.[0];
  if (extra !== undefined)
    throw complain({
      where: 'adapter as GGUF',
      got: extra,
      expected: 'only lora_A and lora_B of linear layers',
      remedy: 'merge the adapter into the model instead',
    });
}

import path from 'node:path';
import { Command, Option } from 'commander';
import { complain, UserError } from '../errors.ts';
import { MIXES, type Mix } from '../formats/gguf/mixes.ts';
import { parseSize } from '../formats/gguf/shards.ts';
import type { TrainConfig } from '../train/config.ts';
import type { FinishedModel, ModelOutputs } from '../train/outputs.ts';
import { BASE_MODEL_HELP, baseModel } from './base-model.ts';
import { warn } from './warn.ts';

/**
 * Which kinds of GGUF file a list names, each once.
 *
 * @param flag that the list was given with, for errors
 * @throws UserError for a kind that cannot be written
 */
export function ggufTypes(list: string | undefined, flag = '--gguf'): Mix[] {
  if (list === undefined) return [];
  const names = list.split(',').map((name) => name.trim().toLowerCase());
  for (const name of names)
    if (!Object.hasOwn(MIXES, name))
      throw complain({
        where: flag,
        got: name || 'nothing',
        expected: `some of ${Object.keys(MIXES).join(', ')}`,
        remedy: 'correct the flag',
      });
  return [...new Set(names)] as Mix[];
}

interface GivenFlags {
  model?: string;
  adapter?: string;
  loadIn4bit: boolean;
  chatTemplate?: TrainConfig['chat_template'];
  out: string;
  merged?: ModelOutputs['merged'];
  gguf?: string;
  splitMaxSize?: string;
  imatrix?: string;
  threads?: string;
  ggufAdapter: boolean;
}

/** With the base model that they mean. */
interface ExportFlags extends GivenFlags {
  model: string;
}

/** `export`: merges an adapter and writes other formats. */
export function exportCommand(): Command {
  return new Command('export')
    .description('merge an adapter into its base model and write it as safetensors or GGUF')
    .option('--model <path>', BASE_MODEL_HELP)
    .option('--adapter <dir>', 'PEFT adapter directory to merge')
    .option('--load-in-4bit', 'round the base weights to NF4 first, as in the training of a QLoRA adapter', false)
    .addOption(
      new Option(
        '--chat-template <name>',
        "template for the merged directory and GGUF files (default: as the adapter was trained, else the tokenizer's own)",
      ).choices(['chatml', 'llama-3.1', 'tokenizer']),
    )
    .requiredOption('--out <dir>', 'directory for the files')
    .addOption(
      new Option('--merged <dtype>', 'write a merged Hugging Face directory').choices([
        'float32',
        'float16',
        'bfloat16',
      ]),
    )
    .option(
      '--gguf <types>',
      `write GGUF files, separated by commas: ${Object.keys(MIXES).join(', ')}; quantised from weights rounded to f16, so that the bytes are those of llama.cpp's quantiser on the f16 file`,
    )
    .option(
      '--split-max-size <size>',
      'divide GGUF files into parts with at most this much of tensors, or one tensor, for example 2G',
    )
    .option('--imatrix <file>', "importance matrix of llama.cpp's llama-imatrix, for quantised GGUF files")
    .option('--threads <n>', 'threads that quantise (default: all cores)')
    .option('--gguf-adapter', 'write the adapter itself as a GGUF file, which llama.cpp applies with --lora', false)
    .action(runExport);
}

async function runExport(given: GivenFlags): Promise<void> {
  const outputs: ModelOutputs = { merged: given.merged ?? null, gguf: ggufTypes(given.gguf) };
  if (!outputs.merged && outputs.gguf.length === 0 && !given.ggufAdapter)
    throw complain({
      where: 'export',
      got: 'none of --merged, --gguf and --gguf-adapter',
      expected: 'at least one of them',
      remedy: 'say what to write, for example --gguf q4_k_m',
    });
  if (given.ggufAdapter && given.adapter === undefined)
    throw complain({
      where: '--gguf-adapter',
      got: 'no --adapter',
      expected: 'an adapter to write',
      remedy: 'add --adapter with the directory of a PEFT adapter',
    });
  if (given.splitMaxSize !== undefined && outputs.gguf.length === 0)
    throw complain({
      where: '--split-max-size',
      got: 'no --gguf',
      expected: 'GGUF files to divide',
      remedy: 'add --gguf, or leave it out',
    });
  const { readImportanceMatrix } = await import('../formats/gguf/imatrix.ts');
  const { makeDirectory } = await import('../files/write-file.ts');
  const { writeModel } = await import('../train/outputs.ts');
  const options = {
    splitMaxBytes: given.splitMaxSize === undefined ? undefined : parseSize(given.splitMaxSize),
    importance: given.imatrix === undefined ? undefined : await readImportanceMatrix(given.imatrix),
    threads: given.threads === undefined ? undefined : threadCount(given.threads),
    warn,
    report: progress(),
  };
  const flags: ExportFlags = { ...given, model: baseModel(given) };
  const { finished, close } = await openModel(flags);
  try {
    makeDirectory(flags.out);
    if (flags.ggufAdapter) console.log(`wrote ${await writeAdapterFile(flags, finished)}`);
    for (const file of await writeModel(finished, flags.out, outputs, options)) console.log(`wrote ${file}`);
  } catch (error) {
    // What is wrong with an adapter shows when it is merged.
    if (error instanceof UserError && /^(adapter|LoRA)\b/.test(error.message))
      throw new UserError(`${flags.adapter}: ${error.message}`);
    // Parts of quantised weights know only their own names.
    if (error instanceof UserError && error.message.startsWith('model.'))
      throw new UserError(`${flags.model}: ${error.message}`);
    throw error;
  } finally {
    await close();
  }
}

/** Opens what is to be written; a device only when a weight has to be computed on it. */
async function openModel(flags: ExportFlags): Promise<{ finished: FinishedModel; close: () => Promise<void> }> {
  const { loadTokenizer } = await import('../data/tokenizer.ts');
  const { endOfTurn } = await import('../train/templates.ts');
  const { chooseTemplate } = await import('./choose-template.ts');
  const { readAdapter } = await import('../formats/peft.ts');
  const { openWeights } = await import('../models/open-weights.ts');
  const { mergeWeights } = await import('../lora/merge-weights.ts');
  const { Device } = await import('../tensor/device.ts');
  const adapter = flags.adapter ? await readAdapter(flags.adapter) : null;
  const tokenizer = loadTokenizer(flags.model);
  // Without an adapter or a wish the model keeps what it has, which may be none.
  const chosen = flags.chatTemplate ?? flags.adapter ?? tokenizer.chatTemplate;
  const template = chosen === null ? null : chooseTemplate(flags.chatTemplate, tokenizer, flags.adapter);
  const source = await openWeights(flags.model);
  let device: ReturnType<typeof Device.open> | null = null;
  const close = async () => {
    (await device)?.close();
    await source.close();
  };
  try {
    const weights = mergeWeights(source, {
      device: () => {
        device ??= Device.open();
        return device;
      },
      adapter,
      load_in_4bit: flags.loadIn4bit,
    });
    return {
      finished: {
        config: source.config,
        weights,
        base: flags.model,
        template,
        endOfTurn: endOfTurn(template, tokenizer),
      },
      close,
    };
  } catch (error) {
    await close();
    throw error instanceof UserError && /^adapter\b/.test(error.message)
      ? new UserError(`${flags.adapter}: ${error.message}`)
      : error;
  }
}

/** Writes the adapter as a GGUF file; returns its path. */
async function writeAdapterFile({ adapter, out }: ExportFlags, { config }: FinishedModel): Promise<string> {
  const { readAdapter } = await import('../formats/peft.ts');
  const { writeAdapterGguf } = await import('../models/save-adapter-gguf.ts');
  const dir = adapter as string;
  const file = path.join(out, 'adapter.gguf');
  await writeAdapterGguf({ file, adapter: await readAdapter(dir), config, name: path.basename(path.resolve(dir)) });
  return file;
}

function threadCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1024)
    throw complain({ where: '--threads', got: text, expected: 'a whole number from 1', remedy: 'correct the flag' });
  return count;
}

/** A line that is written over as the work goes on, where a person sees it. */
function progress(): ((done: number, total: number) => void) | undefined {
  if (!process.stderr.isTTY) return undefined;
  let shown = -1;
  return (done, total) => {
    const percent = Math.floor((100 * done) / total);
    if (percent === shown) return;
    shown = percent;
    process.stderr.write(`\rwriting GGUF: ${percent} %${percent === 100 ? '\n' : ''}`);
  };
}

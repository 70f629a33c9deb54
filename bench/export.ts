/**
 * Quantising an 8B Llama: `npx tsx bench/export.ts`.
 *
 * Makes a sharded bf16 checkpoint of random weights, exports it, and has llama.cpp's own quantiser make the same file
 * from our f16 GGUF. Each run is a process of its own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, openSync, readSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Option } from 'commander';
import { Random } from '../src/data/random.ts';
import { makeDirectory } from '../src/files/write-file.ts';
import { fromFloat32 } from '../src/formats/elements.ts';
import { MIXES, type Mix } from '../src/formats/gguf/mixes.ts';
import { readLlamaConfig } from '../src/formats/hf-config.ts';
import { writeSafetensors } from '../src/formats/safetensors-writer.ts';
import { weightShapes } from '../src/models/init.ts';
import { openWeights } from '../src/models/open-weights.ts';
import { writeLlamaGguf } from '../src/models/save-gguf.ts';
import type { WeightRows } from '../src/models/weight-rows.ts';
import { sizeOf } from '../src/tensor/shape.ts';
import { openLlama, skipReason } from '../test/oracle/llama.ts';
import { LLAMA_8B } from './8b/shapes.ts';
import { benchCommand, wholeNumber } from './command-line.ts';

interface Flags {
  layers: number;
  type: Mix;
  threads: number;
  rounds: number;
  dir: string;
  run?: (typeof RUNS)[number];
}

const RUNS = ['f16', 'dawntune', 'llama.cpp'] as const;

const flags = benchCommand(
  'bench/export.ts',
  "Times the export of a model with the shapes of Llama 3.1 8B but few layers to GGUF, against llama.cpp's own quantiser " +
    'with as many threads. Times are by the clock, from opening the source to the finished file, with all data in the page ' +
    'cache; throughput counts parameters, which is what carries over to more layers.',
)
  .option('--layers <n>', 'layers of the model', wholeNumber, 4)
  .addOption(new Option('--type <type>', 'kind of GGUF file').choices(Object.keys(MIXES)).default('q4_k_m'))
  .option('--threads <n>', 'threads that quantise', wholeNumber, os.availableParallelism())
  .option('--rounds <n>', 'how often each runs', wholeNumber, 2)
  .option('--dir <dir>', 'where the model and the files are kept', path.join(os.tmpdir(), 'dawntune-bench-export'))
  .addOption(new Option('--run <name>', 'one run, in this process').choices(RUNS).hideHelp())
  .parse()
  .opts<Flags>();
const { type: mix, threads } = flags;
const checkpoint = path.join(flags.dir, `layers-${flags.layers}`);
const f16File = () => path.join(checkpoint, 'f16.gguf');
const fileOf = (name: string) => path.join(checkpoint, `${name}-${mix}.gguf`);
const TOKENIZER = 'models/tiny';
/** Parameters of the whole model, which times are extrapolated to. */
const WHOLE = 8_030_261_248;
const CONFIG = { ...LLAMA_8B, num_hidden_layers: flags.layers };

interface Measured {
  seconds: number;
  /** Of all threads together: what a busy machine distorts less. */
  cpuSeconds: number;
  peakBytes: number;
}

if (flags.run) console.log(JSON.stringify(await runOnce(flags.run)));
else await compare();

async function compare(): Promise<void> {
  await makeCheckpoint();
  const parameters = [...weightShapes(readLlamaConfig(checkpoint)).values()].reduce((sum, s) => sum + sizeOf(s), 0);
  if (!existsSync(f16File())) child('f16');
  console.log(`${(parameters / 1e9).toFixed(2)} billion parameters, ${flags.type}, ${threads} threads`);
  const best = new Map<string, Measured>();
  for (let round = 0; round < flags.rounds; round++)
    for (const name of skipReason ? ['dawntune'] : ['dawntune', 'llama.cpp']) {
      const measured = child(name);
      const known = best.get(name);
      if (!known || measured.seconds < known.seconds) best.set(name, measured);
      console.log(line(name, measured, parameters));
    }
  const [ours, theirs] = ['dawntune', 'llama.cpp'].map((name) => best.get(name));
  if (!ours || !theirs) return;
  const equal = sameTensors((await openLlama()).tensors, fileOf('dawntune'), fileOf('llama.cpp'));
  const percent = (a: number, b: number) => ((100 * a) / b).toFixed(0);
  console.log(
    `best against best: ${percent(theirs.seconds, ours.seconds)} % of llama.cpp's throughput, ${percent(ours.cpuSeconds, theirs.cpuSeconds)} % of its processor time`,
  );
  console.log(`bytes of all tensors ${equal ? 'are equal' : 'DIFFER'}`);
  if (!equal) process.exitCode = 1;
}

function line(name: string, { seconds, cpuSeconds, peakBytes }: Measured, parameters: number): string {
  const rate = parameters / seconds;
  const times = `${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s of processors)`;
  const whole = `8B by throughput: ${(WHOLE / rate).toFixed(0)} s`;
  return `${name.padEnd(10)} ${times}, ${(rate / 1e6).toFixed(1)} M parameters/s, peak ${(peakBytes / 2 ** 30).toFixed(2)} GiB resident; ${whole}`;
}

function child(run: string): Measured {
  const self = fileURLToPath(import.meta.url);
  const args = ['--import', 'tsx', self, '--run', run, '--dir', flags.dir, '--layers', String(flags.layers)];
  const { status, stdout, error } = spawnSync(
    process.execPath,
    [...args, '--type', mix, '--threads', String(threads)],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  if (error) throw error;
  // It has said why.
  if (status !== 0) process.exit(status ?? 1);
  return JSON.parse(stdout.trim().split('\n').at(-1) as string) as Measured;
}

/** Writes one file in this process. */
async function runOnce(run: string): Promise<Measured> {
  const begin = performance.now();
  if (run === 'llama.cpp') {
    const llama = await openLlama();
    llama.quantize(f16File(), fileOf(run), { fileType: MIXES[mix].fileType, threads });
  } else await exportCheckpoint(run === 'f16' ? { file: f16File(), mix: 'f16' } : { file: fileOf(run), mix });
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return {
    seconds: (performance.now() - begin) / 1000,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakBytes: maxRSS * 1024,
  };
}

async function exportCheckpoint(file: { file: string; mix: Mix }): Promise<void> {
  const source = await openWeights(checkpoint);
  const weights = [...weightShapes(source.config)].map(([name, shape]) => source.rows(name, shape) as WeightRows);
  await writeLlamaGguf({
    files: [file],
    config: source.config,
    tokenizerDir: TOKENIZER,
    chatTemplate: null,
    weights,
    threads,
  });
  await source.close();
}

function sameTensors(read: Awaited<ReturnType<typeof openLlama>>['tensors'], ours: string, theirs: string): boolean {
  const expected = read(theirs);
  const [a, b] = [openSync(ours, 'r'), openSync(theirs, 'r')];
  const part = (file: number, { begin, end }: { begin: number; end: number }) => {
    const bytes = Buffer.alloc(end - begin);
    readSync(file, bytes, 0, bytes.length, begin);
    return bytes;
  };
  return [...read(ours)].every(([name, place]) => {
    const other = expected.get(name);
    return other !== undefined && other.type === place.type && part(a, place).equals(part(b, other));
  });
}

/** Random weights in two files. The same few million numbers in ever new order: making them must not take minutes. */
async function makeCheckpoint(): Promise<void> {
  if (existsSync(path.join(checkpoint, 'model.safetensors.index.json'))) return;
  makeDirectory(checkpoint);
  writeFileSync(path.join(checkpoint, 'config.json'), JSON.stringify(CONFIG));
  const random = new Random(8);
  const pool = fromFloat32(
    Float32Array.from({ length: 1 << 22 }, () => 0.02 * random.normal()),
    'BF16',
  );
  const fill = (elements: number): Uint8Array => {
    const out = new Uint8Array(2 * elements);
    for (let at = 0; at < out.length; at += 1 << 16) {
      const from = 2 * random.below((pool.length - (1 << 16)) / 2);
      out.set(pool.subarray(from, from + Math.min(1 << 16, out.length - at)), at);
    }
    return out;
  };
  const shapes = [...weightShapes(readLlamaConfig(checkpoint))];
  const weightMap: Record<string, string> = {};
  const half = Math.ceil(shapes.length / 2);
  for (const [index, part] of [shapes.slice(0, half), shapes.slice(half)].entries()) {
    const name = `model-0000${index + 1}-of-00002.safetensors`;
    for (const [weight] of part) weightMap[weight] = name;
    await writeSafetensors(
      path.join(checkpoint, name),
      part.map(([weight, shape]) => ({ name: weight, dtype: 'BF16', shape, bytes: () => fill(sizeOf(shape)) })),
    );
  }
  writeFileSync(path.join(checkpoint, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
}

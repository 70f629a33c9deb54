/** The ggml block formats against ggml itself: `npx tsx bench/ggml.ts [types]`. */
import { Argument } from 'commander';
import { GGML_TYPES, type GgmlType } from '../src/formats/gguf/types.ts';
import { plainSearches } from '../src/quant/ggml/plain/searches.ts';
import { blockFormats, quantizeGgml } from '../src/quant/ggml/quantize.ts';
import { openGgml } from '../test/oracle/ggml.ts';
import { normals } from '../test/support/check-op.ts';
import { benchCommand } from './command-line.ts';

const TYPES = Object.keys(GGML_TYPES) as GgmlType[];
const [wanted] = benchCommand(
  'bench/ggml.ts',
  'Times the ggml block formats on one thread against ggml itself: MB of f32 input for a second of processor time (not of ' +
    'the clock: other work on the machine then matters less), by the median of rounds in which ggml, the vectors and plain ' +
    'TypeScript take turns.',
)
  .addArgument(new Argument('[types...]', 'formats to time').choices(TYPES).default(TYPES, 'all'))
  .parse().processedArgs as [GgmlType[]];

const WIDTH = 4096;
const COUNT = 64 * WIDTH;
const ROUNDS = 9;
/** Repeats of a fast format are timed together: at least so many milliseconds. */
const LEAST = 20;

const values = Float32Array.from(normals(COUNT, 3), (x) => 0.02 * x);
const importance = Float32Array.from(normals(WIDTH, 4), (x) => Math.exp(x));
const ggml = await openGgml();
const plain = blockFormats(plainSearches);

/** Milliseconds of processor time. */
function time(run: () => void, repeats: number): number {
  const before = process.cpuUsage();
  for (let i = 0; i < repeats; i++) run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / repeats;
}

console.log('type                  ggml MB/s   here MB/s    here/ggml  plain/ggml');
for (const type of TYPES.filter((type) => wanted.includes(type)))
  for (const weights of [undefined, importance]) {
    if (weights && ['f32', 'f16', 'bf16', 'q8_0'].includes(type)) continue;
    const out = ggml.quantize(type, values, WIDTH, weights);
    const runs = [
      () => void ggml.quantize(type, values, WIDTH, weights),
      () => void quantizeGgml(type, values, WIDTH, weights),
      () => plain[type].quantize(values, out, WIDTH, weights ?? null),
    ];
    const repeats = runs.map((run) => Math.ceil(LEAST / Math.max(0.01, time(run, 3))));
    const times: number[][] = [[], [], []];
    for (let round = 0; round < ROUNDS; round++)
      for (const [k, run] of runs.entries()) times[k].push(time(run, repeats[k]));
    const [theirs, ours, spelled] = times.map((all) => all.sort((a, b) => a - b)[ROUNDS >> 1]);
    const rate = (ms: number) => ((4 * COUNT) / ms / 1000).toFixed(0).padStart(12);
    const ratio = (ms: number) => (theirs / ms).toFixed(2).padStart(12);
    const name = `${type}${weights ? ' with importance' : ''}`.padEnd(22);
    console.log(`${name}${rate(theirs)}${rate(ours)}${ratio(ours)}${ratio(spelled)}`);
  }

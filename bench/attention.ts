/** The attention kernels for matrix units in every layout of their tiles: `npx tsx bench/attention.ts [head-size]`. */
import { Argument } from 'commander';
import { AttentionRanges } from '../src/autograd/attention-ranges.ts';
import { launchAttention } from '../src/autograd/ops/attention-kernels.ts';
import { type MatrixEntry, matrixKernels, workgroupsByBytes } from '../src/autograd/ops/attention-matrix.ts';
import { Device, type Launch } from '../src/tensor/device.ts';
import { attentionPath, MATRIX_WIDTHS } from '../src/tensor/kernel-paths.ts';
import { Tensor } from '../src/tensor/tensor.ts';
import { clocked } from './clock.ts';
import { benchCommand } from './command-line.ts';
import { rateText } from './rate.ts';

const [headSize] = benchCommand(
  'bench/attention.ts',
  'Times the attention kernels for matrix units in every layout of their tiles, and holds their results against those of ' +
    'the tiled kernels. Milliseconds of a launch by the clock, the median of rounds of several. Rates are of causal ' +
    'attention: 4 · T² / 2 · D operations a head and document forward, 2.5 times that backward, of which four of seven ' +
    'products are counted for keys and values, three for queries. "a core" is how many workgroups a core of an NVIDIA GPU ' +
    'has workgroup memory for.',
)
  .addArgument(new Argument('[head-size]', 'elements of a head').choices(MATRIX_WIDTHS.map(String)).default('128'))
  .parse().processedArgs as [string];
const width = Number(headSize);
const device = await Device.open();
const real = attentionPath(device.capabilities, 'f16', width) === 'matrix';
const sibling = real ? 'tiled' : 'plain';
const limit = device.capabilities.limits.maxComputeWorkgroupStorageSize;
/** Without matrix units this only shows that the script works. */
const [heads, kvHeads] = real ? [32, 8] : [2, 1];
const timed = real ? [2048, 2048, 2048, 2048] : [70, 30];
/** Documents that no tile is a multiple of; few, because the tiled kernels are slow. */
const compared = real ? [700, 1, 323] : [70, 1, 30];
const scale = 1 / Math.sqrt(width);

/** Normal numbers; a pattern is repeated, with a length that shares no factor with a row. */
const pattern = Float32Array.from(
  { length: 65521 },
  () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()),
);
const normals = (shape: number[], shift: number) =>
  Tensor.from(
    device,
    Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => pattern[(i + shift) % pattern.length]),
    shape,
    'f16',
  );

/** Everything that the kernels of one batch read and write, by the names of their bindings. */
function batchOf(lengths: readonly number[]) {
  const tokens = lengths.reduce((a, b) => a + b);
  const of = (count: number, shift: number) => normals([tokens, count, width], shift);
  const [q, k, v, grad] = [of(heads, 0), of(kvHeads, 1000), of(kvHeads, 2000), of(heads, 3000)];
  const empty = (count: number) => Tensor.empty(device, [tokens, count, width], 'f16');
  const log_sum = Tensor.empty(device, [heads, tokens]);
  const statistics = Tensor.empty(device, [heads, tokens, 2]);
  const o = empty(heads);
  const inputs = { q, k, v, ranges: AttentionRanges.packed(device, lengths).table };
  const statistics_read = statistics;
  return {
    tokens,
    q,
    k,
    forward: { ...inputs, y: o, log_sum },
    output_products: { o, grad, log_sum_saved: log_sum, statistics },
    gradient_queries: { ...inputs, grad, statistics_read, y: empty(heads) },
    gradient_keys: { ...inputs, grad, statistics_read, y: empty(kvHeads), y2: empty(kvHeads) },
  };
}
type Batch = ReturnType<typeof batchOf>;

const WARM_UP = { warmupIterations: 1, warmupTime: 150 };
/** Milliseconds of launches in one submission. */
const ROUND_TIME = 30;

/** Median milliseconds of one launch; what it launches has been compiled, or the GPU would rest after its warm-up. */
async function time(run: () => void): Promise<number> {
  const finish = () => device.finish();
  // Several launches, or the wait at the end would be most of what is timed.
  const { least } = await clocked(run, finish, { ...WARM_UP, iterations: 3, repeats: real ? 10 : 1 });
  const repeats = Math.ceil(ROUND_TIME / least);
  return (await clocked(run, finish, { ...WARM_UP, iterations: 5, repeats })).median;
}

/** Largest error over the largest expected value. */
function errorOf(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [error, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(got[i] - expected[i]);
    error = Number.isNaN(difference) ? Number.NaN : Math.max(error, difference);
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return error / largest;
}

const results = (batch: Batch, entry: MatrixEntry): Promise<ArrayLike<number>[]> => {
  const bindings: Launch['bindings'] = batch[entry];
  return Promise.all(['y', 'y2'].filter((name) => name in bindings).map((name) => bindings[name].numbers()));
};

const launchSibling = (batch: Batch, entry: MatrixEntry | 'output_products') =>
  launchAttention(entry, batch.q, batch.k, { scale, path: sibling }, batch[entry]);

const [small, large] = [batchOf(compared), batchOf(timed)];
const forwardFlops = timed.reduce((sum, length) => sum + 2 * length * length * width * heads, 0);
const FLOPS: Record<MatrixEntry, number> = {
  forward: forwardFlops,
  gradient_queries: (forwardFlops * 2.5 * 3) / 7,
  gradient_keys: (forwardFlops * 2.5 * 4) / 7,
};

console.log(`${device.capabilities.name}, ${device.capabilities.driver}`);
if (!real) console.log('no matrix units: small shapes, emulated, against the plain kernels; times mean nothing');
console.log(`${timed} tokens, ${heads} heads, ${kvHeads} key heads of ${width}; errors on ${compared} tokens`);
const print = (name: string, layout: string, ms: number, flops?: number, error = '') => {
  const rate = flops === undefined ? '' : rateText(flops / (ms / 1000), 'FLOP/s');
  console.log(`${name.padEnd(17)} ${layout.padEnd(66)} ${ms.toFixed(3).padStart(9)} ms ${rate.padStart(14)}  ${error}`);
};

const best: Partial<Record<MatrixEntry, number>> = {};
for (const entry of ['forward', 'gradient_queries', 'gradient_keys'] as const) {
  if (entry === 'gradient_queries') for (const batch of [small, large]) launchSibling(batch, 'output_products');
  launchSibling(small, entry);
  const expected = await results(small, entry);
  const kernels = matrixKernels(entry, width, real ? 'matrix' : 'emulated').filter(({ bytes }) => bytes <= limit);
  for (const kernel of kernels) device.compile(kernel, Object.keys(small[entry]));
  for (const { rows, bytes, ...kernel } of kernels) {
    const { QUERIES, KEYS, ROW_GROUPS, COLUMN_GROUPS, PLACES } = kernel.defines ?? {};
    const layout = [
      `${QUERIES} queries x ${KEYS} keys, groups ${ROW_GROUPS} x ${COLUMN_GROUPS}`,
      entry === 'gradient_keys' ? `, places ${PLACES}` : '',
      `, ${bytes} B, ${workgroupsByBytes(bytes)} a core`,
    ].join('');
    const launch = (batch: Batch) =>
      device.run({
        ...kernel,
        bindings: batch[entry],
        params: { queries: batch.tokens, keys: batch.tokens, heads, kv_heads: kvHeads, scale, quads: width / 4 },
        workgroups: [entry === 'gradient_keys' ? kvHeads : heads, Math.ceil(batch.tokens / rows), 1],
      });
    launch(small);
    const got = await results(small, entry);
    const errors = got.map((values, i) => errorOf(values, expected[i]).toExponential(1));
    const ms = await time(() => launch(large));
    best[entry] = Math.min(best[entry] ?? Number.POSITIVE_INFINITY, ms);
    print(entry, layout, ms, FLOPS[entry], `error ${errors.join(', ')}`);
  }
}
const products = await time(() => launchSibling(large, 'output_products'));
print('output_products', '', products);
const backward = products + best.gradient_queries! + best.gradient_keys!;
print('backward', 'best layouts and output_products', backward, 2.5 * forwardFlops);
device.close();

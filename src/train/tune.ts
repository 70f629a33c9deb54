import type { Device } from '../tensor/device.ts';
import { matrixProduct } from '../tensor/gemm/matrix.ts';
import { panelRows, panelsSize } from '../tensor/gemm/panels.ts';
import type { Product } from '../tensor/gemm/product.ts';
import { keyOf, type ProductShape } from '../tensor/gemm/product-shape.ts';
import { candidates, type Tiling } from '../tensor/gemm/tilings.ts';
import { sizeOf } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { median, milliseconds } from '../tensor/timestamps.ts';

/** Milliseconds that a product takes with each of some tilings. */
export type Timer = (shape: ProductShape, tilings: readonly Tiling[]) => Promise<number[]>;

/** What the default has to be beaten by: measurements differ by about one percent. */
const MARGIN = 1.02;
/**
 * GPU time before a measurement: clocks fall when there is nothing to do, and take some 100 ms to rise. It is counted by the
 * first launches, which run up to six times slower.
 */
const WARM_UP_MS = 6 * 100;
const MOST_WARM_UPS = 300;
const ROUNDS = 9;
/** Numbers that operands repeat, in rows that differ; zeros would cost the GPU less power, and let it run faster. */
const BLOCK = 1_000_008;

const rateOf = ({ batch, m, n, k, rider }: ProductShape, ms: number) => (2 * batch * m * n * (k + rider)) / ms / 1e9;

const inWords = ({ tile, splits, tail }: Tiling) =>
  `${tile}${splits > 1 ? ` ${tail ? 'with its tail ' : ''}in ${splits} parts` : ''}`;

/**
 * Looks for the fastest tiling of each product.
 *
 * @param report takes a line a product
 * @returns by key the tiling that beats the default, or null where none does by more than 2 %
 */
export async function tune(
  products: readonly ProductShape[],
  time: Timer,
  report: (line: string) => void,
): Promise<Map<string, Tiling | null>> {
  const found = new Map<string, Tiling | null>();
  for (const shape of products) {
    const tilings = candidates(shape);
    const times = await time(shape, tilings);
    const best = times.indexOf(Math.min(...times));
    const better = times[0] > MARGIN * times[best];
    found.set(keyOf(shape), better ? tilings[best] : null);
    const rates = [0, best].map((i) => `${inWords(tilings[i])} ${rateOf(shape, times[i]).toPrecision(3)} TFLOP/s`);
    const verdict = better ? `kept, ${(100 * (times[0] / times[best] - 1)).toFixed(1)} % faster` : 'default stays';
    report(`${keyOf(shape)}: default ${rates[0]}, best ${rates[1]}: ${verdict} (${tilings.length} tried)`);
  }
  return found;
}

/**
 * Times products by timestamps of a device: medians of rounds in which all tilings take turns, after a warm-up.
 *
 * @throws UserError when the adapter has no timestamps
 */
export function timerOn(device: Device, units: 'matrix' | 'emulated' = 'matrix'): Timer {
  return (shape, tilings) => {
    device.trim(); // Products of other sizes find no use for the buffers of the one before.
    return device.scopeAsync(async () => {
      const product = productOf(device, shape);
      const run = (tiling: Tiling) => device.scope(() => matrixProduct(product, units, tiling));
      const counts: number[] = [];
      let first = 0;
      for (const tiling of tilings) {
        run(tiling); // Kernels are built, buffers made.
        const commands = await device.profile(() => run(tiling));
        counts.push(commands.length);
        first += milliseconds(commands);
      }
      const warmUps = Math.min(MOST_WARM_UPS, Math.ceil(WARM_UP_MS / Math.max(first, 1e-3)));
      const timed = await device.profile(() => {
        for (let round = 0; round < warmUps + ROUNDS; round++) for (const tiling of tilings) run(tiling);
      });
      const length = timed.length / (warmUps + ROUNDS);
      const starts = counts.map((_, i) => counts.slice(0, i).reduce((sum, count) => sum + count, 0));
      const timeOf = (i: number, round: number) => {
        const start = (warmUps + round) * length + starts[i];
        return milliseconds(timed.slice(start, start + counts[i]));
      };
      return tilings.map((_, i) => median(Array.from({ length: ROUNDS }, (_, round) => timeOf(i, round))));
    });
  };
}

/** A product of such a shape, of numbers between −1/16 and 1/16. */
function productOf(device: Device, shape: ProductShape): Product {
  const { transposeA, transposeB, panelsA, panelsB, batch, m, n, k, rider, y, addend } = shape;
  const numbers = Float32Array.from(
    { length: BLOCK },
    (_, i) => ((Math.imul(i, 0x9e3779b1) >>> 8) / 2 ** 24 - 0.5) / 8,
  );
  const blocks = new Map<string, Tensor>();
  const filled = (dtype: 'f16' | 'f32', ...sizes: number[]) => {
    const block = blocks.get(dtype) ?? Tensor.from(device, numbers, [BLOCK], dtype);
    blocks.set(dtype, block);
    const flat = Tensor.empty(device, [sizeOf(sizes)], dtype);
    for (let start = 0; start < flat.size; start += BLOCK) {
      const end = Math.min(start + BLOCK, flat.size);
      device.copy(block.slice(0, 0, end - start), flat.slice(0, start, end));
    }
    return flat.view(sizes);
  };
  const left = (depth: number, ...lead: number[]) => filled('f16', ...lead, ...(transposeA ? [depth, m] : [m, depth]));
  const right = (depth: number, ...lead: number[]) => filled('f16', ...lead, ...(transposeB ? [n, depth] : [depth, n]));
  return {
    a: panelsA ? filled('f16', 1, transposeA ? panelRows(k) * m : panelRows(m) * k) : left(k, batch),
    b: panelsB ? filled('f16', 1, panelsSize(n, k)) : right(k, batch),
    transposeA,
    transposeB,
    panelsA,
    panelsB,
    rider: rider > 0 ? { a: left(rider), b: right(rider) } : null,
    alpha: 1,
    y: filled(y as 'f16' | 'f32', batch, m, n),
    addend: addend === 'f16' || addend === 'f32' ? filled(addend, batch, m, n) : null,
    collects: addend === 'own',
    column: 0,
    batch,
    m,
    n,
    k,
  };
}

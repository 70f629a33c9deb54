/** Matrix products by path and shape: `npm run bench`. */
import { Device } from '../src/tensor/device.ts';
import { type GemmPath, gemm } from '../src/tensor/gemm/gemm.ts';
import { usableMatrixShape } from '../src/tensor/gemm/matrix.ts';
import { Tensor } from '../src/tensor/tensor.ts';
import { clocked } from './clock.ts';
import { benchCommand } from './command-line.ts';
import { rateText } from './rate.ts';

benchCommand(
  'bench',
  'Times matrix products in the orders and shapes of training, of operands in rows (bench:8b has those in panels too), by ' +
    'each path that the device has: milliseconds of a product by the clock, the median of rounds of several, and the ' +
    'rate. Software drivers take small shapes.',
).parse();
const device = await Device.open();
const large = !device.capabilities.software;
const shapes: [string, number, number, number, boolean, boolean][] = large
  ? [
      ['x·Wᵀ', 4096, 4096, 4096, false, true],
      ['dY·W', 4096, 4096, 4096, false, false],
      ['dYᵀ·x', 4096, 4096, 4096, true, false],
      ['x·Wᵀ', 8192, 14336, 4096, false, true],
      ['x·Aᵀ', 8192, 16, 4096, false, true],
      ['h·Bᵀ', 8192, 4096, 16, false, true],
    ]
  : [
      ['x·Wᵀ', 512, 384, 128, false, true],
      ['dY·W', 512, 128, 384, false, false],
      ['dYᵀ·x', 384, 128, 512, true, false],
      ['x·Aᵀ', 512, 16, 128, false, true],
      ['h·Bᵀ', 512, 128, 16, false, true],
    ];

const filled = (shape: number[], dtype: 'f32' | 'f16') =>
  Tensor.from(
    device,
    Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => ((i * 2654435761) % 2001) / 1000 - 1),
    shape,
    dtype,
  );

const ROUNDS = { iterations: 9, warmupIterations: 2, repeats: large ? 10 : 3 };

console.log(`${device.capabilities.name}, ${device.capabilities.driver}`);
for (const [name, m, n, k, transposeA, transposeB] of shapes)
  for (const [path, dtype] of [
    ['portable', 'f32'],
    ['portable', 'f16'],
    ['matrix', 'f16'],
  ] as [GemmPath, 'f32' | 'f16'][]) {
    if (path === 'matrix' && !usableMatrixShape(device.capabilities)) continue;
    if (large && path === 'portable' && m * n * k > 2e11) continue;
    const a = filled(transposeA ? [k, m] : [m, k], dtype);
    const b = filled(transposeB ? [n, k] : [k, n], dtype);
    const product = () => device.scope(() => void gemm({ a, b, transposeA, transposeB, dtype, path }));
    const { median: ms } = await clocked(product, () => device.finish(), ROUNDS);
    const rate = rateText((2 * m * n * k) / (ms / 1000), 'FLOP/s');
    console.log(
      `${name.padEnd(6)} ${`${m}x${n}x${k}`.padEnd(18)} ${dtype} ${path.padEnd(9)} ${ms.toFixed(3).padStart(9)} ms ${rate.padStart(14)}`,
    );
    a.dispose();
    b.dispose();
  }
device.close();

/** What a kernel launch costs the host: `npx tsx bench/dispatch.ts`. */
import { Device } from '../src/tensor/device.ts';
import { addInto } from '../src/tensor/elementwise.ts';
import { gemm } from '../src/tensor/gemm/gemm.ts';
import { Tensor } from '../src/tensor/tensor.ts';
import { clocked } from './clock.ts';
import { benchCommand } from './command-line.ts';

benchCommand(
  'bench/dispatch.ts',
  "Times the host's work for a kernel launch on the null backend, where nothing else happens: microseconds by the clock, in " +
    'the fastest of many rounds.',
).parse();
const device = await Device.open({ backend: 'null' });
/** Launches of a round go over fewer tensors: as a training step meets the same buffers again. */
const ROUNDS = { iterations: 100, warmupIterations: 5, repeats: 1000 };

const zeros = (shape: number[]) => Array.from({ length: 100 }, () => Tensor.zeros(device, shape));
const [a, b, y] = [zeros([16, 16]), zeros([16, 16]), zeros([16, 16])];
const kinds: Record<string, (i: number) => void> = {
  'addInto: 2 bindings, 1 parameter': (i) => addInto(y[i], a[i]),
  'gemm into a place: 3 bindings, 12 parameters': (i) =>
    void gemm({ a: a[i], b: b[i], addend: y[i], into: y[i], dtype: 'f32' }),
  'gemm in a scope with fresh memory: 4 bindings, 12 parameters': (i) =>
    device.scope(() => void gemm({ a: a[i], b: b[i], addend: y[i], dtype: 'f32' })),
};

for (const [name, launch] of Object.entries(kinds)) {
  const { least } = await clocked(
    (i) => launch(i % a.length),
    () => device.finish(),
    ROUNDS,
  );
  console.log(`${(1000 * least).toFixed(2).padStart(7)} µs  ${name}`);
}
device.close();

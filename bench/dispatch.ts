/** Host microseconds that one kernel launch takes, on the null backend, where nothing else happens: `npx tsx bench/dispatch.ts`. */
import { Bench } from 'tinybench';
import { Device } from '../src/tensor/device.ts';
import { addInto } from '../src/tensor/elementwise.ts';
import { gemm } from '../src/tensor/gemm/gemm.ts';
import { Tensor } from '../src/tensor/tensor.ts';

const device = await Device.open({ backend: 'null' });
/** Launches that one round records, over as many tensors: as a training step meets the same buffers again. */
const LAUNCHES = 1000;

const zeros = (shape: number[]) => Array.from({ length: 100 }, () => Tensor.zeros(device, shape));
const [a, b, y] = [zeros([16, 16]), zeros([16, 16]), zeros([16, 16])];
const kinds: Record<string, (i: number) => void> = {
  'addInto: 2 bindings, 1 parameter': (i) => addInto(y[i], a[i]),
  'gemm into a place: 3 bindings, 13 parameters': (i) =>
    void gemm({ a: a[i], b: b[i], addend: y[i], into: y[i], dtype: 'f32' }),
  'gemm: the same and a scope with fresh memory': (i) =>
    device.scope(() => void gemm({ a: a[i], b: b[i], addend: y[i], dtype: 'f32' })),
};

for (const [name, launch] of Object.entries(kinds)) {
  const bench = new Bench({ time: 0, iterations: 100, warmupTime: 0, warmupIterations: 5 });
  bench.add(name, async () => {
    for (let i = 0; i < LAUNCHES; i++) launch(i % a.length);
    await device.finish();
  });
  await bench.run();
  const [{ result }] = bench.tasks;
  if (result.state !== 'completed') throw new Error(`bench: ${result.state}`);
  console.log(`${((1000 * result.latency.min) / LAUNCHES).toFixed(2).padStart(7)} µs  ${name}`);
}
device.close();

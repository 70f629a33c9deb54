import path from 'node:path';
import { AdamW8bit } from '../optim/adamw8bit.ts';
import { STEP_KEY } from '../optim/optimizer.ts';
import { quantizeNf4 } from '../quant/nf4.ts';
import type { Device } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';
import { BARS } from './bars.ts';
import { maxErrorOverMax } from './compare.ts';
import { arrayOf, casesOf, readArrays } from './files.ts';
import type { Report } from './report.ts';

/** NF4 bytes, scales and dequantised values against bitsandbytes, plain and double-quantised. */
export async function compareNf4(report: Report, device: Device, dir: string): Promise<void> {
  const file = path.join(dir, 'nf4.safetensors');
  const arrays = await readArrays(file);
  for (const name of casesOf(arrays, file, 'input')) {
    const { shape, data } = arrayOf(arrays, `${name}.input`);
    await device.scopeAsync(async () => {
      const input = Tensor.from(device, data, shape);
      const plain = await quantizeNf4(input, { doubleQuant: false });
      const parts = await plain.parts();
      report.mismatches(`nf4 ${name} packed`, parts.packed, arrayOf(arrays, `${name}.packed`).data, 0);
      report.mismatches(`nf4 ${name} absmax`, parts.absmax, arrayOf(arrays, `${name}.absmax`).data, 0);
      report.maxError(
        `nf4 ${name} dequantised`,
        await plain.dense('f32').numbers(),
        arrayOf(arrays, `${name}.dequant_f32`).data,
        BARS.nf4.dequantised,
      );
      const nested = await quantizeNf4(input, { doubleQuant: true });
      const double = await nested.parts();
      const want = (part: string) => arrayOf(arrays, `${name}.nested.${part}`).data;
      report.mismatches(`nf4 ${name} nested packed`, double.packed, want('packed'), 0);
      report.mismatches(`nf4 ${name} nested absmax_u8`, double.absmax, want('absmax_u8'), 0);
      report.mismatches(`nf4 ${name} nested absmax2`, double.absmax2 ?? [], want('absmax2'), 0);
      report.mismatches(`nf4 ${name} nested code2`, double.code2 ?? [], want('code2'), 0);
      report.mismatches(`nf4 ${name} nested offset`, [double.offset ?? Number.NaN], want('offset'), 0);
      report.maxError(
        `nf4 ${name} nested dequantised`,
        await nested.dense('f32').numbers(),
        want('dequant_f32'),
        BARS.nf4.dequantised,
      );
    });
  }
}

/** Eight steps of 8-bit AdamW against bitsandbytes: parameters of every step and the states at the end. */
export async function compareAdamW8bit(report: Report, device: Device, dir: string): Promise<void> {
  const file = path.join(dir, 'adamw8bit.safetensors');
  const arrays = await readArrays(file);
  for (const name of casesOf(arrays, file, 'param0')) {
    const steps = [...arrays.keys()].filter((key) => key.startsWith(`${name}.grad`)).length;
    for (let step = 0; step < Math.max(1, steps); step++)
      for (const part of [`grad${step}`, `param${step + 1}`]) arrayOf(arrays, `${name}.${part}`);
    const { shape, data } = arrayOf(arrays, `${name}.param0`);
    const tensor = device.persist(Tensor.from(device, data, shape));
    const optimizer = new AdamW8bit([{ name, tensor }], BARS.adamw8bit.options);
    let worst = 0;
    for (let step = 0; step < steps; step++) {
      tensor.grad = device.persist(Tensor.from(device, arrayOf(arrays, `${name}.grad${step}`).data, shape));
      device.scope(() => optimizer.step({ lr: BARS.adamw8bit.lr }));
      tensor.grad.dispose();
      tensor.grad = null;
      worst = Math.max(worst, maxErrorOverMax(await tensor.data(), arrayOf(arrays, `${name}.param${step + 1}`).data));
    }
    report.add({
      name: `adamw8bit ${name} parameters, all steps`,
      error: worst,
      bound: BARS.adamw8bit.parameters,
      measure: 'max|d|/max|ref|',
    });
    for (const [part, value] of await optimizer.state()) {
      if (part === STEP_KEY) continue;
      const want = arrays.get(`${name}.state.${part.slice(name.length + 1)}`);
      if (!want) report.missing(`adamw8bit ${part}`);
      else if (want.data instanceof Uint8Array)
        report.mismatches(`adamw8bit ${part}`, value.data, want.data, BARS.adamw8bit.stateMismatches);
      else report.maxError(`adamw8bit ${part}`, value.data, want.data, BARS.adamw8bit.states);
    }
    optimizer.dispose();
    tensor.dispose();
  }
}

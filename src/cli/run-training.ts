import { mkdirSync } from 'node:fs';
import { Device } from '../tensor/device.ts';
import type { TrainConfig } from '../train/config.ts';
import { finetune, openSession, type Plan } from '../train/finetune.ts';
import { type Outputs, writeOutputs } from '../train/outputs.ts';
import { Progress } from '../train/progress.ts';

/** The plan in a line. */
export function planLine({ samples, truncated, skipped, rows, steps, trainableParameters }: Plan): string {
  const lost = [...(truncated ? [`${truncated} cut off`] : []), ...(skipped ? [`${skipped} left out`] : [])];
  return `${samples} samples${lost.length ? ` (${lost.join(', ')})` : ''} in ${rows} rows, ${steps} steps, ${trainableParameters.toLocaleString('en')} trained parameters`;
}

/** Loads, trains and saves, printing a line a step. */
export async function runTraining(config: TrainConfig, outputs: Outputs): Promise<void> {
  // A directory that cannot be made is found before hours of training, not after.
  mkdirSync(config.output_dir, { recursive: true });
  const device = await Device.open();
  console.log(`${device.capabilities.name}: ${device.capabilities.driver}`);
  const session = await openSession(device, config);
  let progress = new Progress(0);
  await finetune(session, config, {
    plan: (plan) => {
      progress = new Progress(plan.steps);
      console.log(planLine(plan));
    },
    step: (report) => console.log(progress.line(report)),
  });
  for (const path of await writeOutputs(session, config.model, config.output_dir, outputs))
    console.log(`wrote ${path}`);
  session.model.dispose();
  device.close();
}

import path from 'node:path';
import { checkWritable } from '../files/write-file.ts';
import { tokenizerMetadata } from '../formats/gguf/tokenizer.ts';
import { Device } from '../tensor/device.ts';
import { freeMemory } from '../tensor/device-memory.ts';
import type { TrainConfig } from '../train/config.ts';
import { finetune, openSession, type Session } from '../train/finetune.ts';
import { planLines, planMemory } from '../train/memory-plan.ts';
import { type Outputs, writeOutputs } from '../train/outputs.ts';
import { counted, Progress } from '../train/progress.ts';
import { templateWarning } from '../train/templates.ts';
import { openData, type TrainingData } from '../train/training-data.ts';
import { warn } from './warn.ts';

/** What the run will do, in a line. */
export function planLine({ samples, truncated, skipped, rows, steps }: TrainingData, { trainables }: Session): string {
  const lost = [...(truncated ? [`${truncated} cut off`] : []), ...(skipped ? [`${skipped} left out`] : [])];
  const parameters = trainables.reduce((sum, { tensor }) => sum + tensor.size, 0);
  return [
    `${counted(samples, 'conversation')}${lost.length ? ` (${lost.join(', ')})` : ''} in ${counted(rows.length, 'row')}`,
    counted(steps, 'step'),
    `${parameters.toLocaleString('en')} trained parameters`,
  ].join(', ');
}

function warmupWarning({ warmup_steps, warmup_ratio }: TrainConfig, steps: number): string | null {
  const warmup = warmup_ratio === null ? `warmup_steps ${warmup_steps}` : `warmup_ratio ${warmup_ratio}`;
  // The warmup begins at rate 0.
  if (steps === 1 && (warmup_ratio ?? warmup_steps) > 0)
    return `${warmup}: the only step of this run has the learning rate 0, so nothing is learned; make more steps or set it to 0`;
  if (warmup_ratio !== null || warmup_steps < steps) return null;
  return `${warmup} is not below the ${steps} steps of this run: the learning rate never reaches its peak; lower it`;
}

/** Loads, trains and saves, printing a line a step. */
export async function runTraining(config: TrainConfig, outputs: Outputs): Promise<void> {
  const data = await openData(config);
  // Found before hours of training, not after.
  if (outputs.gguf.length > 0) tokenizerMetadata(config.model, data.model, data.template.source);
  checkWritable(config.output_dir);
  for (const part of ['adapter', ...(outputs.merged ? ['merged'] : [])])
    checkWritable(path.join(config.output_dir, part));
  warn(templateWarning(data.template, data.tokenizer));
  warn(warmupWarning(config, data.steps));
  const device = await Device.open();
  console.log(`${device.capabilities.name}: ${device.capabilities.driver}`);
  const plan = await planMemory(device.capabilities, config, data, freeMemory(device.capabilities));
  for (const line of planLines(plan)) console.log(line);
  warn(plan.warning);
  const session = await openSession(device, config, data, plan);
  console.log(planLine(data, session));
  const progress = new Progress(data.steps);
  await finetune(session, data, config, plan, (report) => console.log(progress.line(report)));
  console.log(progress.summary());
  for (const file of await writeOutputs(session, config.model, config.output_dir, outputs, { warn }))
    console.log(`wrote ${file}`);
  session.model.dispose();
  device.close();
}

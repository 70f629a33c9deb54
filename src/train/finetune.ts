import type { ChatTemplate } from '../data/chat-template.ts';
import { Random } from '../data/random.ts';
import { optimizerSteps } from '../data/steps.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { PeftConfig } from '../formats/peft-config.ts';
import { attachAdapters, type Trainable } from '../lora/attach.ts';
import type { Llama } from '../models/llama.ts';
import { loadLlama } from '../models/load.ts';
import type { Device } from '../tensor/device.ts';
import type { TrainConfig } from './config.ts';
import type { MemoryPlan } from './memory-plan.ts';
import { adapterConfigOf, loadOptionsOf, openTrainer } from './open-trainer.ts';
import type { StepReport } from './trainer.ts';
import type { TrainingData } from './training-data.ts';

/** A base model with fresh adapters, and what is needed to talk to it. */
export interface Session {
  model: Llama;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /** Null for a base model without adapters. */
  adapter: PeftConfig | null;
  trainables: Trainable[];
}

/** Loads the base model, as the plan has it, and puts fresh adapters on. */
export async function openSession(
  device: Device,
  config: TrainConfig,
  { tokenizer, template }: Pick<TrainingData, 'tokenizer' | 'template'>,
  plan: MemoryPlan,
): Promise<Session> {
  const adapter = adapterConfigOf(config);
  const model = await loadLlama(device, config.model, loadOptionsOf(config, plan.step.checkpointing));
  const random = new Random(config.seed);
  const trainables = attachAdapters(model, adapter, { uniform: () => random.uniform() });
  return { model, tokenizer, template, adapter, trainables };
}

/**
 * Fine-tunes the adapters of a session.
 *
 * @param report called after each step
 */
export async function finetune(
  session: Session,
  { rows, steps }: TrainingData,
  config: TrainConfig,
  { step: { checkpointing, buffers, peakBytes } }: MemoryPlan,
  report: (step: StepReport) => void,
): Promise<void> {
  const { device } = session.model;
  const { trainer, dispose } = openTrainer(session, config, { steps, gradient_checkpointing: checkpointing });
  device.reserve(buffers, peakBytes);
  try {
    for await (const step of trainer.steps(optimizerSteps(rows, config))) report(step);
  } finally {
    dispose();
    device.trim();
  }
}

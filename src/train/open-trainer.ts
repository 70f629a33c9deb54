import type { Checkpointing } from '../autograd/tape.ts';
import { type PeftConfig, parsePeftConfig } from '../formats/peft-config.ts';
import type { Trainable } from '../lora/attach.ts';
import type { Llama } from '../models/llama.ts';
import type { LoadOptions } from '../models/load.ts';
import { AdamW } from '../optim/adamw.ts';
import { AdamW8bit } from '../optim/adamw8bit.ts';
import { schedule } from '../optim/schedules.ts';
import type { TrainConfig } from './config.ts';
import { Trainer, type TrainerOptions } from './trainer.ts';

/** PEFT's description of the adapters that a run trains. */
export function adapterConfigOf(config: TrainConfig): PeftConfig {
  const { model, r, lora_alpha, lora_dropout, use_rslora, target_modules, modules_to_save } = config;
  return parsePeftConfig(
    {
      peft_type: 'LORA',
      base_model_name_or_path: model,
      r,
      lora_alpha,
      lora_dropout,
      use_rslora,
      target_modules,
      modules_to_save,
    },
    'train',
  );
}

/** How the base model is loaded. Who recomputes layers to save memory leaves the embedding in host memory too. */
export function loadOptionsOf({ precision, load_in_4bit }: TrainConfig, checkpointing: Checkpointing): LoadOptions {
  return { precision, load_in_4bit, embedding_on_host: checkpointing === 'full' || checkpointing === 'offload' };
}

/** The trainer that a configuration describes, with an optimiser of its own. */
export function openTrainer(
  { model, trainables }: { model: Llama; trainables: Trainable[] },
  config: TrainConfig,
  { steps, ...options }: { steps: number } & Pick<TrainerOptions, 'gradient_checkpointing' | 'watch'>,
): { trainer: Trainer; dispose: () => void } {
  const { adam_beta1, adam_beta2, adam_epsilon: eps, weight_decay, warmup_ratio, learning_rate } = config;
  const Optimizer = config.optim === 'adamw_8bit' ? AdamW8bit : AdamW;
  const optimizer = new Optimizer(trainables, { betas: [adam_beta1, adam_beta2], eps, weight_decay, steps });
  const warmup = warmup_ratio === null ? { warmup_steps: config.warmup_steps } : { warmup_ratio };
  const trainer = new Trainer(model, {
    optimizer,
    rate: schedule(config.lr_scheduler_type, { learning_rate, max_steps: steps, ...warmup }),
    max_grad_norm: config.max_grad_norm,
    seed: config.seed,
    ...options,
  });
  const dispose = () => {
    trainer.dispose();
    optimizer.dispose();
  };
  return { trainer, dispose };
}

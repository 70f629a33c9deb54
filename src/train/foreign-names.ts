/** What other programs call our keys. */
const FOREIGN: Readonly<Record<string, string>> = {
  alpha: 'lora_alpha',
  base_model: 'model',
  batch_size: 'per_device_train_batch_size',
  beta1: 'adam_beta1',
  beta2: 'adam_beta2',
  bf16: 'precision',
  checkpointing: 'gradient_checkpointing',
  compute_dtype: 'precision',
  cutoff_len: 'max_seq_length',
  data: 'dataset',
  data_path: 'dataset',
  dataset_name: 'dataset',
  dropout: 'lora_dropout',
  dtype: 'precision',
  epochs: 'num_train_epochs',
  eps: 'adam_epsilon',
  fp16: 'precision',
  grad_accum: 'gradient_accumulation_steps',
  lora_r: 'r',
  lora_rank: 'r',
  lora_target_modules: 'target_modules',
  lr: 'learning_rate',
  lr_scheduler: 'lr_scheduler_type',
  max_length: 'max_seq_length',
  micro_batch_size: 'per_device_train_batch_size',
  model_id: 'model',
  model_name: 'model',
  model_name_or_path: 'model',
  num_epochs: 'num_train_epochs',
  optimizer: 'optim',
  out: 'output_dir',
  output: 'output_dir',
  quantize: 'load_in_4bit',
  random_state: 'seed',
  rank: 'r',
  rslora: 'use_rslora',
  sample_packing: 'packing',
  scheduler: 'lr_scheduler_type',
  seq_len: 'max_seq_length',
  steps: 'max_steps',
  template: 'chat_template',
  train_file: 'dataset',
  train_on_inputs: 'train_on',
  use_gradient_checkpointing: 'gradient_checkpointing',
  warmup: 'warmup_steps',
};

/** Our name of a key that another program calls `name`, or null. */
export function ownName(name: string): string | null {
  return Object.hasOwn(FOREIGN, name) ? FOREIGN[name] : null;
}

/** {@link ownName} for a flag, as a remedy. */
export function flagHint(flag: string): string | null {
  const own = ownName(flag.replace(/^--/, '').replaceAll('-', '_'));
  return own && `here it is called --${own.replaceAll('_', '-')}`;
}

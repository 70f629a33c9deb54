import { complain } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A leaf that an optimiser changes: contiguous f32, its gradient (f32) in `tensor.grad`. */
export interface Parameter {
  /** Key of its states in a saved optimiser. */
  name: string;
  tensor: Tensor;
  /** Overrides the optimiser's weight decay, for example 0 for biases. */
  weightDecay?: number;
}

export interface StepOptions {
  /** Learning rate of this step. */
  lr: number;
  /**
   * GPU results of `GradientScaling.measure`: gradients are multiplied as they say, and a step with a gradient that is
   * not finite changes nothing. Without them gradients are taken as they are.
   */
  stats?: Tensor;
}

/** A state on the host, as it is saved. */
export interface SavedState {
  shape: readonly number[];
  data: Float32Array | Uint8Array;
}

/** The step count's key among the saved states. */
export const STEP_KEY = 'step';

/** Parameters of fewer elements keep f32 states in 8-bit optimisers too, as bitsandbytes' `min_8bit_size` has it. */
export const LEAST_8BIT = 4096;

/** What trains parameters. */
export interface Optimizer {
  readonly parameters: readonly Parameter[];
  /** Records one update on the GPU; nothing is read back. Parameters without a gradient stay as they are. */
  step(options: StepOptions): void;
  /** All states for an exact resume, by `<parameter>.<state>`, and the number of applied steps under {@link STEP_KEY}. */
  state(): Promise<Map<string, SavedState>>;
  /** @throws UserError naming a state that is missing or has another size */
  loadState(saved: ReadonlyMap<string, SavedState>): void;
  dispose(): void;
}

export interface AdamWOptions {
  betas?: readonly [number, number];
  eps?: number;
  weight_decay?: number;
  /** Steps that are to come, where that is known: tables for them are then made at once, and take their memory at once. */
  steps?: number;
}

/** Options with PyTorch's defaults filled in. */
export function adamWOptions({ betas = [0.9, 0.999], eps = 1e-8, weight_decay = 0.01, steps = 0 }: AdamWOptions = {}) {
  for (const beta of betas)
    if (!(beta >= 0 && beta < 1))
      throw complain({
        where: 'optimizer: betas',
        got: `[${betas}]`,
        expected: 'two numbers from 0 to below 1',
        remedy: 'use 0.9 and 0.999, the usual ones',
      });
  for (const [where, value] of Object.entries({ eps, weight_decay }))
    if (!(value >= 0))
      throw complain({
        where: `optimizer: ${where}`,
        got: `${value}`,
        expected: 'a number that is not negative',
        remedy: 'leave it out for the default',
      });
  return { betas, eps, weight_decay, steps };
}

/** @throws UserError for a parameter that no kernel here can update, or a name given twice */
export function checkParameters(parameters: readonly Parameter[]): void {
  const names = new Set<string>();
  for (const { name, tensor } of parameters) {
    if (names.has(name))
      throw complain({
        where: 'optimizer',
        got: `two parameters named ${name}`,
        expected: 'names that differ',
        remedy: 'name them by their place in the model',
      });
    names.add(name);
    if (tensor.dtype !== 'f32' || !tensor.bindable)
      throw complain({
        where: `optimizer: ${name}`,
        got: `${tensor.dtype} [${tensor.shape}]${tensor.bindable ? '' : ', a view that no kernel can bind'}`,
        expected: 'a contiguous f32 tensor',
        remedy: 'keep master weights in f32',
      });
  }
}

/** A saved state of the right size and type. */
export function savedState(saved: ReadonlyMap<string, SavedState>, key: string, size: number, kind: 'f32' | 'u8') {
  const state = saved.get(key);
  const fits = state && state.data.length === size && state.data instanceof (kind === 'u8' ? Uint8Array : Float32Array);
  if (!fits)
    throw complain({
      where: `optimizer state ${key}`,
      got: state ? `${state.data.length} elements of ${state.data.constructor.name}` : 'nothing',
      expected: `${size} elements of ${kind}`,
      remedy: 'resume with the optimiser and the adapter settings that wrote the checkpoint',
    });
  return state.data;
}

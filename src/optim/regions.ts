import { complain } from '../errors.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { Parameter } from './optimizer.ts';
import { MasterTensor } from './parameter-arena.ts';

type Trained = Pick<Parameter, 'name' | 'tensor'>;

/** Cuts parameters into runs that lie one after the other in memory; neighbours have to be alike too. */
function runsOf<P extends Trained>(parameters: readonly P[], alike: (a: P, b: P) => boolean): P[][] {
  const byStorage = new Map<Storage, P[]>();
  for (const parameter of parameters) {
    const { storage } = parameter.tensor;
    const group = byStorage.get(storage);
    if (group) group.push(parameter);
    else byStorage.set(storage, [parameter]);
  }
  const runs: P[][] = [];
  for (const group of byStorage.values()) {
    let last: P | null = null;
    for (const parameter of group.toSorted((a, b) => a.tensor.offset - b.tensor.offset)) {
      const { tensor } = parameter;
      if (last && tensor instanceof MasterTensor && tensor.follows(last.tensor) && alike(last, parameter))
        runs.at(-1)?.push(parameter);
      else runs.push([parameter]);
      last = parameter;
    }
  }
  return runs;
}

/** Elements from the first to the last parameter of a run, with the padding between them. */
function lengthOf(run: readonly Trained[]): number {
  const first = run[0].tensor;
  const last = run[run.length - 1].tensor;
  return last instanceof MasterTensor ? last.end - first.offset : last.size;
}

/** As many elements as the run has, from a parameter's or gradient's first on. */
function flatFrom(tensor: Tensor, run: readonly Trained[]): Tensor {
  return new Tensor(tensor.device, tensor.storage, tensor.dtype, [lengthOf(run)], { offset: tensor.offset });
}

/** Parameters one after the other, all with gradients one after the other; padding is zero. */
export interface Span {
  parameters: readonly Trained[];
  /** Flat, like the values. */
  gradients: Tensor;
  values: Tensor;
}

/**
 * Parameters with gradients in as few spans as their places allow.
 *
 * @throws UserError for a gradient that no kernel here can read
 */
export function spansOf(parameters: readonly Trained[]): Span[] {
  const trained = parameters.filter(({ tensor }) => tensor.grad);
  for (const { name, tensor } of trained) checkGradient(name, tensor.grad as Tensor);
  const sameWay = ({ tensor: a }: Trained, { tensor: b }: Trained) =>
    a.grad?.storage === b.grad?.storage && a.grad?.offset === (b.grad?.offset ?? 0) + a.offset - b.offset;
  return runsOf(trained, sameWay).map((run) => {
    const [{ tensor }] = run;
    return { parameters: run, values: flatFrom(tensor, run), gradients: flatFrom(tensor.grad as Tensor, run) };
  });
}

function checkGradient(name: string, grad: Tensor): void {
  if (grad.dtype !== 'f32' || !grad.bindable)
    throw complain({
      where: `gradient of ${name}`,
      got: `${grad.dtype} [${grad.shape}]`,
      expected: 'a contiguous f32 tensor',
      remedy: 'let the tape accumulate it',
    });
}

/** Parameters one after the other whose states lie one after the other too. */
export class Region {
  readonly parameters: readonly Parameter[];
  /** Elements, with padding. */
  readonly size: number;

  private constructor(parameters: readonly Parameter[]) {
    this.parameters = parameters;
    this.size = lengthOf(parameters);
  }

  /** Cuts parameters into regions; neighbours in one have to be alike. */
  static all(parameters: readonly Parameter[], alike: (a: Parameter, b: Parameter) => boolean): Region[] {
    return runsOf(parameters, alike).map((run) => new Region(run));
  }

  /** Number in the region of a parameter's first element. */
  start({ tensor }: Pick<Parameter, 'tensor'>): number {
    return tensor.offset - this.parameters[0].tensor.offset;
  }

  /** The parts whose parameters have gradients: one, if all have. */
  spans(): (Span & { start: number })[] {
    return spansOf(this.parameters).map((span) => ({ ...span, start: this.start(span.parameters[0]) }));
  }
}

import { UserError } from '../errors.ts';
import { type Defines, expand, type Interface, interfaceOf } from './wgsl.ts';

/** Which kernel to build: a file, an entry point and everything that shapes the code. */
export interface KernelChoice {
  /** File in kernels/, for example `rms_norm.wgsl`. */
  kernel: string;
  /** Entry point; `main` if left out. */
  entry?: string;
  /** Values of `{{NAME}}` placeholders. */
  defines?: Defines;
  /** Values of WGSL `override` constants. */
  constants?: Readonly<Record<string, number>>;
}

export interface Kernel {
  label: string;
  defines: Defines;
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
  interface: Interface;
  /** Storage bindings in the order of the layout. */
  slots: readonly Slot[];
}

/** A storage binding of a kernel. */
export interface Slot {
  name: string;
  binding: number;
  writable: boolean;
}

/** Builds each kernel variant once. */
export class PipelineCache {
  readonly #gpu: GPUDevice;
  readonly #kernels = new Map<string, Kernel>();

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** @param names the storage bindings that the caller will pass, in any order */
  get(choice: KernelChoice, names: readonly string[]): Kernel {
    const { kernel, entry = 'main', defines = {}, constants = {} } = choice;
    // Every launch comes by here: plain concatenation takes a third of the time of JSON.
    let key = `${kernel}:${entry}`;
    for (const name in defines) key += `;${name}=${defines[name]}`;
    for (const name in constants) key += `#${name}=${constants[name]}`;
    for (const name of names) key += `,${name}`;
    let found = this.#kernels.get(key);
    if (!found) {
      found = this.#build(kernel, entry, defines, constants, names);
      this.#kernels.set(key, found);
    }
    return found;
  }

  #build(
    kernel: string,
    entry: string,
    defines: Defines,
    constants: Readonly<Record<string, number>>,
    names: readonly string[],
  ): Kernel {
    const label = `${kernel}:${entry}`;
    const code = expand(kernel, defines);
    const declared = interfaceOf(code, label);
    const slots = names.map((name) => {
      const slot = declared.bindings.get(name);
      if (!slot) throw new UserError(`${label}: has no binding ${name}; it declares ${[...declared.bindings.keys()]}`);
      return { name, ...slot };
    });
    const entries: GPUBindGroupLayoutEntry[] = slots.map(({ binding, writable }) => ({
      binding,
      visibility: 4, // GPUShaderStage.COMPUTE
      buffer: { type: writable ? 'storage' : 'read-only-storage' },
    }));
    if (declared.paramsBytes > 0)
      entries.push({ binding: 0, visibility: 4, buffer: { type: 'uniform', hasDynamicOffset: true } });
    const layout = this.#gpu.createBindGroupLayout({ label, entries });
    const module = this.#gpu.createShaderModule({ label, code });
    const pipeline = this.#gpu.createComputePipeline({
      label,
      layout: this.#gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: entry, constants },
    });
    return { label, defines, pipeline, layout, interface: declared, slots };
  }
}

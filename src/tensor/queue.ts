import { UserError } from '../errors.ts';
import type { Kernel } from './pipelines.ts';
import { type Command, Timestamps } from './timestamps.ts';
import type { Param } from './wgsl.ts';

/** A range of a buffer that a kernel sees as one binding. */
export interface Range {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

/** What a queue has recorded since it was made. */
export interface WorkCount {
  dispatches: number;
  /** Copies between buffers, and clears. */
  copies: number;
  submits: number;
}

const UNIFORM_BYTES = 1 << 18;
const MAX_DISPATCHES = 512;
/**
 * Bind groups kept for the next time. Batches of ever new sizes make ever new ones, and drivers fail when tens of
 * thousands live.
 */
const MAX_GROUPS = 16384;

/**
 * Records dispatches into one compute pass and submits them in batches, because a submit costs as much as a
 * dozen dispatches. Parameters of a batch share one uniform buffer, addressed with dynamic offsets, so that bind
 * groups depend on buffers alone and can be cached.
 */
export class CommandQueue {
  readonly #gpu: GPUDevice;
  readonly #alignment: number;
  readonly #uniforms: GPUBuffer;
  readonly #staged = new DataView(new ArrayBuffer(UNIFORM_BYTES));
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #ids = new WeakMap<object, number>();
  #nextId = 0;
  #used = 0;
  #dispatches = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  /** Whose pipeline the pass has. */
  #kernel: Kernel | null = null;
  #timestamps: Timestamps | null = null;
  readonly #work: WorkCount = { dispatches: 0, copies: 0, submits: 0 };

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.#alignment = gpu.limits.minUniformBufferOffsetAlignment;
    this.#uniforms = gpu.createBuffer({
      label: 'params',
      size: UNIFORM_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  get work(): WorkCount {
    return { ...this.#work };
  }

  /** Times every command from now until {@link stopTimestamps}; each gets a pass of its own, so batches cost more. */
  startTimestamps(): Timestamps {
    this.flush();
    this.#timestamps = new Timestamps(this.#gpu);
    return this.#timestamps;
  }

  stopTimestamps(): void {
    this.flush();
    this.#timestamps = null;
  }

  dispatch(
    kernel: Kernel,
    ranges: readonly Range[],
    params: Readonly<Record<string, Param>>,
    groups: readonly [number, number, number],
  ): void {
    if (
      this.#dispatches >= MAX_DISPATCHES ||
      this.#used + kernel.interface.paramsBytes + this.#alignment > UNIFORM_BYTES ||
      this.#timestamps?.full
    )
      this.flush();
    const offset = this.#stage(kernel, params);
    const bindGroup = this.#bindGroup(kernel, ranges);
    if (this.#timestamps) {
      const { label, defines } = kernel;
      const timestampWrites = this.#timestamps.add({ label, defines, params: { ...params }, workgroups: groups });
      this.#endPass();
      this.#pass = this.#commands().beginComputePass({ timestampWrites });
    }
    if (!this.#pass) this.#pass = this.#commands().beginComputePass();
    if (this.#kernel !== kernel) this.#pass.setPipeline(kernel.pipeline);
    this.#kernel = kernel;
    this.#pass.setBindGroup(0, bindGroup, offset === null ? [] : [offset]);
    this.#pass.dispatchWorkgroups(...groups);
    this.#dispatches++;
    this.#work.dispatches++;
  }

  /** Copies bytes between buffers, after everything dispatched so far. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    this.#outsidePasses({ label: 'copy', defines: {}, params: { bytes }, workgroups: [] }, (encoder) =>
      encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, bytes),
    );
  }

  clear({ buffer, offset, size }: Range): void {
    this.#outsidePasses({ label: 'clear', defines: {}, params: { bytes: size }, workgroups: [] }, (encoder) =>
      encoder.clearBuffer(buffer, offset, size),
    );
  }

  /** Records a command that is no dispatch; only passes can write timestamps, so empty ones stand around it. */
  #outsidePasses(command: Command, record: (encoder: GPUCommandEncoder) => void): void {
    if (this.#timestamps?.full) this.flush();
    this.#endPass();
    const encoder = this.#commands();
    const around = this.#timestamps?.add(command);
    const mark = (index: 'beginningOfPassWriteIndex' | 'endOfPassWriteIndex') => {
      if (!around) return;
      const timestampWrites = { querySet: around.querySet, endOfPassWriteIndex: around[index] };
      encoder.beginComputePass({ timestampWrites }).end();
    };
    mark('beginningOfPassWriteIndex');
    record(encoder);
    mark('endOfPassWriteIndex');
    this.#work.copies++;
  }

  /** Hands everything recorded to the device. */
  flush(): void {
    if (!this.#encoder) return;
    this.#endPass();
    this.#timestamps?.resolve(this.#encoder);
    this.#work.submits++;
    if (this.#used > 0)
      this.#gpu.queue.writeBuffer(this.#uniforms, 0, this.#staged.buffer as ArrayBuffer, 0, this.#used);
    this.#gpu.queue.submit([this.#encoder.finish()]);
    this.#encoder = null;
    this.#used = 0;
    this.#dispatches = 0;
    if (this.#groups.size > MAX_GROUPS) this.#groups.clear();
  }

  /** Forgets cached bind groups; needed before buffers are destroyed. */
  forgetBindGroups(): void {
    this.flush();
    this.#groups.clear();
  }

  #commands(): GPUCommandEncoder {
    this.#encoder ??= this.#gpu.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
    this.#kernel = null;
  }

  #stage(kernel: Kernel, params: Readonly<Record<string, Param>>): number | null {
    const { params: fields, paramsBytes } = kernel.interface;
    if (Object.keys(params).length !== fields.length)
      throw new UserError(
        `${kernel.label}: got params ${Object.keys(params)}, expected ${fields.map((f) => f.name)}; pass each once`,
      );
    if (paramsBytes === 0) return null;
    const offset = Math.ceil(this.#used / this.#alignment) * this.#alignment;
    for (const { name, type, offset: at } of fields) {
      const value = params[name];
      if (value === undefined) throw new UserError(`${kernel.label}: param ${name} is missing; pass it`);
      if (type === 'vec4u')
        for (let i = 0; i < 4; i++) this.#staged.setUint32(offset + at + i * 4, (value as number[])[i], true);
      else if (type === 'f32') this.#staged.setFloat32(offset + at, value as number, true);
      else if (type === 'i32') this.#staged.setInt32(offset + at, value as number, true);
      else this.#staged.setUint32(offset + at, value as number, true);
    }
    this.#used = offset + paramsBytes;
    return offset;
  }

  /** @param ranges in the order of the kernel's slots */
  #bindGroup(kernel: Kernel, ranges: readonly Range[]): GPUBindGroup {
    let key = `${this.#id(kernel)}`;
    for (const { buffer, offset, size } of ranges) key += `|${this.#id(buffer)},${offset},${size}`;
    let group = this.#groups.get(key);
    if (!group) {
      const entries: GPUBindGroupEntry[] = ranges.map((resource, i) => ({
        binding: kernel.slots[i].binding,
        resource,
      }));
      if (kernel.interface.paramsBytes > 0)
        entries.push({ binding: 0, resource: { buffer: this.#uniforms, size: kernel.interface.paramsBytes } });
      group = this.#gpu.createBindGroup({ label: kernel.label, layout: kernel.layout, entries });
      this.#groups.set(key, group);
    }
    return group;
  }

  #id(object: object): number {
    let id = this.#ids.get(object);
    if (id === undefined) {
      id = this.#nextId++;
      this.#ids.set(object, id);
    }
    return id;
  }
}

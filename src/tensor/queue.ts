import { UserError } from '../errors.ts';
import type { Kernel } from './pipelines.ts';

/** A range of a buffer that a kernel sees as one binding. */
export interface Range {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

/** A parameter of a kernel; arrays fill a `vec4u`. */
export type Param = number | readonly number[];

const UNIFORM_BYTES = 1 << 18;
const MAX_DISPATCHES = 512;
/**
 * Bind groups kept for the next time. Batches of ever new sizes make ever new ones, and drivers fail when tens of
 * thousands live.
 */
const MAX_GROUPS = 4096;

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

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.#alignment = gpu.limits.minUniformBufferOffsetAlignment;
    this.#uniforms = gpu.createBuffer({
      label: 'params',
      size: UNIFORM_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  dispatch(
    kernel: Kernel,
    ranges: readonly [string, Range][],
    params: Readonly<Record<string, Param>>,
    groups: readonly [number, number, number],
  ): void {
    if (
      this.#dispatches >= MAX_DISPATCHES ||
      this.#used + kernel.interface.paramsBytes + this.#alignment > UNIFORM_BYTES
    )
      this.flush();
    const offset = this.#stage(kernel, params);
    const bindGroup = this.#bindGroup(kernel, ranges);
    if (!this.#pass) this.#pass = this.#commands().beginComputePass();
    this.#pass.setPipeline(kernel.pipeline);
    this.#pass.setBindGroup(0, bindGroup, offset === null ? [] : [offset]);
    this.#pass.dispatchWorkgroups(...groups);
    this.#dispatches++;
  }

  /** Copies bytes between buffers, after everything dispatched so far. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    this.#endPass();
    this.#commands().copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  clear(range: Range): void {
    this.#endPass();
    this.#commands().clearBuffer(range.buffer, range.offset, range.size);
  }

  /** Hands everything recorded to the device. */
  flush(): void {
    if (!this.#encoder) return;
    this.#endPass();
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

  #bindGroup(kernel: Kernel, ranges: readonly [string, Range][]): GPUBindGroup {
    let key = `${this.#id(kernel)}`;
    for (const [, { buffer, offset, size }] of ranges) key += `|${this.#id(buffer)},${offset},${size}`;
    let group = this.#groups.get(key);
    if (!group) {
      const entries: GPUBindGroupEntry[] = ranges.map(([name, range]) => ({
        binding: kernel.interface.bindings.get(name)!.binding,
        resource: range,
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

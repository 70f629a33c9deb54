import { complain, UserError } from '../errors.ts';
import type { Capabilities } from './capabilities.ts';
import type { DeviceOptions } from './device-options.ts';
import { byteLength, padded } from './dtype.ts';
import type { ProductShape } from './gemm/product-shape.ts';
import { HostCopy } from './host-copy.ts';
import type { Indices } from './indices.ts';
import { openGpu } from './open-gpu.ts';
import { type KernelChoice, PipelineCache } from './pipelines.ts';
import { BufferPool, type MemoryCount, type PoolWatch } from './pool.ts';
import { CommandQueue, type Range, type WorkCount } from './queue.ts';
import { ReadbackBuffers, readbackBuffer } from './readback.ts';
import { rehearsalGpu } from './rehearsal.ts';
import { ScopeStack, Storage } from './storage.ts';
import { storagesIn } from './storages-in.ts';
import type { Tensor } from './tensor.ts';
import type { TimedCommand } from './timestamps.ts';
import type { Param } from './wgsl.ts';

/** One kernel launch: which kernel, over which tensors, with which parameters, in how many workgroups. */
export interface Launch extends KernelChoice {
  /** Tensors by the name of the binding; they must be contiguous. */
  bindings: Readonly<Record<string, Tensor>>;
  /** Fields of `struct Params`; all of them. */
  params?: Readonly<Record<string, Param>>;
  /** Workgroups in x, y, z; a single number larger than a dimension allows is folded into x and y. */
  workgroups: number | readonly [number, number, number];
}

/** The one owner of a GPU: errors, memory, kernels and the queue. */
export class Device {
  readonly capabilities: Capabilities;
  readonly scopes = new ScopeStack();
  readonly poison: boolean;
  /** Told of each product on matrix units when it is launched. */
  productWatch: ((shape: ProductShape) => void) | null = null;
  readonly #gpu: GPUDevice;
  readonly #pool: BufferPool;
  /** Buffers in host memory that the device writes. */
  readonly #staging: BufferPool;
  readonly #queue: CommandQueue;
  readonly #pipelines: PipelineCache;
  readonly #readbacks: ReadbackBuffers;
  #failure: Error | null = null;
  #waits = 0;

  private constructor(gpu: GPUDevice, capabilities: Capabilities, poison: boolean) {
    this.#gpu = gpu;
    this.capabilities = capabilities;
    this.poison = poison;
    this.#pool = new BufferPool({
      create: (size) => this.#createBuffer(size),
      destroy: (buffers) => {
        this.#queue.forgetBindGroups();
        for (const buffer of buffers) buffer.destroy();
      },
      copy: (from, to, bytes) => this.#queue.copy(from, 0, to, 0, bytes),
    });
    this.#staging = new BufferPool({
      create: (size) => readbackBuffer(gpu, size),
      destroy: (buffers) => {
        this.#queue.flush(); // Copies to them may be recorded.
        for (const buffer of buffers) buffer.destroy();
      },
    });
    this.#queue = new CommandQueue(gpu);
    this.#pipelines = new PipelineCache(gpu);
    this.#readbacks = new ReadbackBuffers(gpu);
    gpu.onuncapturederror = ({ error }: GPUUncapturedErrorEvent) => {
      // Not a defect: the device is too small for what was asked of it.
      const full = error.constructor.name === 'GPUOutOfMemoryError';
      this.#failure ??= full
        ? new UserError(
            `device: out of memory (${error.message}); use a smaller per_device_train_batch_size or max_seq_length, load_in_4bit, or gradient_checkpointing full or offload`,
          )
        : new Error(`GPU ${error.constructor.name}: ${error.message}`);
    };
    gpu.lost.then(({ reason, message }) => {
      if (reason !== 'destroyed')
        this.#failure ??= new UserError(`device: lost (${message}); restart from the last checkpoint`);
    });
  }

  /**
   * Opens the most capable adapter with all features and limits that it has.
   *
   * @throws UserError when Dawn finds no adapter
   */
  static async open(options: DeviceOptions = {}): Promise<Device> {
    const { gpu, capabilities } = await openGpu(options);
    return new Device(gpu, capabilities, options.poison ?? false);
  }

  /**
   * A device like one with these capabilities on which nothing runs and nothing takes memory: it counts what work
   * would take. Whatever is read back is zero.
   */
  static rehearsal(capabilities: Capabilities): Device {
    return new Device(rehearsalGpu(capabilities.limits), capabilities, false);
  }

  /** Live buffers and bytes. */
  get memory(): MemoryCount {
    return this.#pool.memory;
  }

  /** What was recorded since the device was opened, and how often the host waited for the device. */
  get work(): WorkCount & { waits: number } {
    return { ...this.#queue.work, waits: this.#waits };
  }

  /** Host memory that the device writes into: see {@link hostCopy}. */
  get hostMemory(): MemoryCount {
    return this.#staging.memory;
  }

  resetPeakMemory(): void {
    this.#pool.resetPeak();
    this.#staging.resetPeak();
  }

  /** Tells of every buffer that is handed out or given back. */
  watchMemory(watch: PoolWatch): void {
    this.#pool.watch = watch;
  }

  /**
   * Makes buffers of these sizes for later, in place of the free ones, and keeps all there are to a budget of bytes; see
   * {@link BufferPool.reserve}.
   */
  reserve(sizes: readonly number[], budget: number): void {
    this.#pool.reserve(sizes, budget);
  }

  /** Makes reserved buffers anew that had to go; between steps, when few buffers are in use. */
  restoreReserve(): void {
    this.#pool.restore();
  }

  /** Destroys buffers that nothing uses. */
  trim(): void {
    this.#pool.trim();
    this.#staging.trim();
  }

  /** A buffer owned by the innermost scope, or by the caller when there is none. */
  allocate(bytes: number): Storage {
    if (bytes > this.capabilities.maxBufferBytes)
      throw complain({
        where: 'device.allocate',
        got: `${bytes} bytes`,
        expected: `at most ${this.capabilities.maxBufferBytes} bytes in one buffer on this adapter`,
        remedy: 'use smaller batches or a device with larger buffers',
      });
    const storage = new Storage(this.#pool, bytes);
    this.scopes.adopt(storage);
    return storage;
  }

  /**
   * Runs `fn` and frees every tensor made in it, except those in what it returns (tensors, arrays, maps and plain
   * objects of tensors or {@link Indices}) and those that a tape or {@link persist} holds.
   *
   * @param purpose what memory plans call the memory taken in it
   */
  scope<T>(fn: () => T, purpose?: string): T {
    const scope = this.scopes.open(purpose);
    let result: T | undefined;
    try {
      result = fn();
      return result;
    } finally {
      this.scopes.close(scope, storagesIn(result));
    }
  }

  /** {@link scope} for asynchronous work; scopes of one device must nest. */
  async scopeAsync<T>(fn: () => Promise<T>): Promise<T> {
    const scope = this.scopes.open();
    let result: T | undefined;
    try {
      result = await fn();
      return result;
    } finally {
      this.scopes.close(scope, storagesIn(result));
    }
  }

  /** Lets go of a tensor before its scope ends: what else holds it, a tape for example, still does. */
  drop(tensor: Tensor): void {
    for (const storage of tensor.storages()) {
      this.scopes.disown(storage);
      storage.release();
    }
  }

  /** Takes a tensor out of its scope: it lives until `dispose()`. */
  persist<T extends Tensor>(tensor: T): T {
    for (const storage of tensor.storages()) this.scopes.disown(storage);
    return tensor;
  }

  /** Launches a kernel; building it the first time. */
  run(launch: Launch): void {
    const { bindings, params = {}, workgroups } = launch;
    const names = Object.keys(bindings);
    const kernel = this.#pipelines.get(launch, names);
    const groups = typeof workgroups === 'number' ? this.#fold(workgroups) : workgroups;
    if (groups[0] * groups[1] * groups[2] === 0) return;
    const ranges: Range[] = [];
    for (const { name, writable } of kernel.slots) {
      const tensor = bindings[name];
      ranges.push(this.#range(launch, name, tensor));
      if (writable) tensor.storage.version++;
    }
    this.#queue.dispatch(kernel, ranges, params, groups);
  }

  /** Builds a kernel without running it: what the null backend is for. */
  compile(choice: KernelChoice, bindings: readonly string[]): void {
    this.#pipelines.get(choice, bindings);
  }

  /** Writes host bytes into a tensor. */
  upload(tensor: Tensor, bytes: Uint8Array): void {
    if (!tensor.contiguous || bytes.byteLength > byteLength(tensor.dtype, tensor.size))
      throw complain({
        where: 'device.upload',
        got: `${bytes.byteLength} bytes for a tensor [${tensor.shape}] with strides [${tensor.strides}]`,
        expected: `at most ${tensor.bytes} bytes and a contiguous tensor`,
        remedy: 'upload to a whole tensor of matching size',
      });
    const words =
      bytes.byteLength % 4 === 0
        ? bytes
        : Uint8Array.from({ length: padded(bytes.byteLength) }, (_, i) => bytes[i] ?? 0);
    tensor.storage.version++;
    this.#queue.flush(); // Writes overtake recorded commands that may still use this buffer.
    this.#gpu.queue.writeBuffer(
      tensor.storage.buffer,
      tensor.byteOffset,
      words.buffer as ArrayBuffer,
      words.byteOffset,
      words.byteLength,
    );
  }

  /** Copies a contiguous tensor's bytes onto those of another. */
  copy(from: Tensor, to: Tensor): void {
    if (!from.contiguous || !to.contiguous || from.bytes !== to.bytes)
      throw complain({
        where: 'device.copy',
        got: `${from.dtype} [${from.shape}] with strides [${from.strides}] to ${to.dtype} [${to.shape}]`,
        expected: 'contiguous tensors of as many bytes',
        remedy: 'use copyOf() for views and other dtypes',
      });
    to.storage.version++;
    this.#queue.copy(from.storage.buffer, from.byteOffset, to.storage.buffer, to.byteOffset, padded(from.bytes));
  }

  zero(tensor: Tensor): void {
    tensor.storage.version++;
    this.#queue.clear({ buffer: tensor.storage.buffer, offset: tensor.byteOffset, size: padded(tensor.bytes) });
  }

  /** Reads a contiguous tensor's bytes, after all work recorded so far. */
  async download(tensor: Tensor): Promise<ArrayBuffer> {
    const size = padded(tensor.bytes);
    if (size === 0) return new ArrayBuffer(0);
    const staging = this.#readbacks.take(size);
    try {
      this.#queue.copy(tensor.storage.buffer, tensor.byteOffset, staging, 0, size);
      await this.#map(staging);
      return staging.getMappedRange(0, size).slice(0);
    } finally {
      this.#readbacks.give(staging);
    }
  }

  /** Copies a contiguous tensor to host memory, after all work recorded so far; nothing waits for it yet. */
  hostCopy(tensor: Tensor): HostCopy {
    const staging = this.#staging.take(tensor.bytes);
    this.#queue.copy(tensor.storage.buffer, tensor.byteOffset, staging, 0, padded(tensor.bytes));
    return new HostCopy(tensor, staging, this.#staging, (buffer) => this.#map(buffer));
  }

  /** Waits until the device has done what it is to write into a staging buffer, and opens that for reading. */
  async #map(staging: GPUBuffer): Promise<void> {
    this.#waits++;
    this.#queue.flush();
    await staging.mapAsync(GPUMapMode.READ).catch(async (error) => {
      await new Promise(setImmediate); // The reason, a lost device for example, is reported just after.
      throw this.#failure ?? error;
    });
    this.check();
  }

  /** Hands recorded work to the device without waiting. */
  flush(): void {
    this.#queue.flush();
    this.check();
  }

  /** Waits until the device has done everything. */
  async finish(): Promise<void> {
    this.#waits++;
    this.#queue.flush();
    await this.#gpu.queue.onSubmittedWorkDone();
    this.check();
  }

  /**
   * Times every dispatch, copy and clear that `fn` records, in order. They run one after the other in passes of their
   * own, so that the whole takes longer than without.
   *
   * @throws UserError when the adapter has no timestamps
   */
  async profile(fn: () => void | Promise<void>): Promise<TimedCommand[]> {
    if (!this.capabilities.features.has('timestamp-query'))
      throw complain({
        where: 'device.profile',
        got: `${this.capabilities.name} without timestamp-query`,
        expected: 'an adapter with timestamps',
        remedy: 'use another driver, or time by the clock',
      });
    const timestamps = this.#queue.startTimestamps();
    try {
      await fn();
    } finally {
      this.#queue.stopTimestamps();
    }
    const timed = await timestamps.read();
    this.check();
    return timed;
  }

  /** @throws the first error that the device reported since it was opened */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Ends the device; pending work is dropped. */
  close(): void {
    this.#queue.flush();
    this.#failure ??= new UserError('device: used after close(); open another one');
    this.#gpu.destroy();
  }

  #createBuffer(size: number): GPUBuffer {
    return this.#gpu.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
  }

  #range(launch: Launch, name: string, tensor: Tensor): Range {
    const where = `${launch.kernel}:${launch.entry ?? 'main'}(${name})`;
    const { maxBindingBytes, bindingAlignment } = this.capabilities;
    if (!tensor.contiguous || tensor.byteOffset % bindingAlignment !== 0)
      throw complain({
        where,
        got: `a view with strides [${tensor.strides}] at byte ${tensor.byteOffset}`,
        expected: 'a contiguous, aligned tensor',
        remedy: 'call contiguous() first',
      });
    const size = Math.max(16, Math.ceil(tensor.bytes / 16) * 16);
    if (size > maxBindingBytes)
      throw complain({
        where,
        got: `${size} bytes`,
        expected: `at most ${maxBindingBytes} in one binding`,
        remedy: 'split the tensor by rows',
      });
    const { buffer } = tensor.storage;
    // Bound as a whole where it can be: the next batch, a little longer or shorter, then finds the same bind groups.
    const whole = tensor.byteOffset === 0 && buffer.size <= maxBindingBytes;
    return { buffer, offset: tensor.byteOffset, size: whole ? buffer.size : size };
  }

  #fold(count: number): [number, number, number] {
    const most = this.capabilities.limits.maxComputeWorkgroupsPerDimension;
    if (count <= most) return [count, 1, 1];
    const rows = Math.ceil(count / most);
    return [Math.ceil(count / rows), rows, 1];
  }
}

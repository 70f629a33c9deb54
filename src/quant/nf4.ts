import { complain } from '../errors.ts';
import { contiguous } from '../tensor/copy.ts';
import type { Device } from '../tensor/device.ts';
import type { HostArray } from '../tensor/dtype.ts';
import { panelsSize, TILE_DEPTH } from '../tensor/gemm/panels.ts';
import { OpaqueMatrix } from '../tensor/opaque.ts';
import type { Shape } from '../tensor/shape.ts';
import { sizeOf } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import { combinations, type KernelVariant } from '../tensor/variants.ts';
import { quantizeBlockwise8 } from './blockwise8.ts';
import { dynamicMap } from './dynamic-map.ts';
import { cudaMean } from './mean.ts';
import { DEQUANTISED, denseOf, panelsOf, stackOf } from './nf4-stack.ts';

/** Block sizes that bitsandbytes reads. */
const BLOCK_SIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096];

export interface Nf4Options {
  /** Quantises the blocks' scales too, to 8 bits: 0.37 bits less for each weight (QLoRA, section 3). */
  doubleQuant?: boolean;
  /** Weights that share a scale. */
  blocksize?: number;
}

/** Scales as plain numbers, or themselves quantised: map[codes] · absmax + offset. */
export type Nf4Scales =
  | { kind: 'plain'; absmax: Tensor }
  | { kind: 'nested'; codes: Tensor; absmax: Tensor; map: Tensor; offset: Tensor };

/** The parts of a quantised matrix on the host, named as bitsandbytes names them. */
export interface Nf4Parts {
  /** Two codes a byte, the first in the high nibble. */
  packed: Uint8Array;
  /** A scale for each block, or its 8-bit code. */
  absmax: Float32Array | Uint8Array;
  /** Scales of blocks of 256 scales. */
  absmax2?: Float32Array;
  code2?: Float32Array;
  /** Mean of the scales. */
  offset?: number;
}

/**
 * A frozen matrix in 4-bit NormalFloat (Dettmers et al. 2023, "QLoRA"): 4.13 bits a weight with double quantisation.
 *
 * It is a tensor to `linear` and to `device.persist`, scopes and tapes; anything else has to ask for {@link dense}.
 */
export class Nf4Tensor extends OpaqueMatrix {
  protected override readonly kind = 'nf4 matrix';
  readonly blocksize: number;
  readonly packed: Tensor;
  readonly scales: Nf4Scales;
  /** What the weights were before; bitsandbytes dequantises to it. */
  readonly sourceDtype: SourceDtype;

  constructor(
    shape: Shape,
    packed: Tensor,
    scales: Nf4Scales,
    { blocksize = 64, sourceDtype = 'float32' as SourceDtype } = {},
  ) {
    super(packed.device, packed.storage, 'u8', shape);
    this.packed = packed;
    this.scales = scales;
    this.blocksize = blocksize;
    this.sourceDtype = sourceDtype;
  }

  get #tensors(): Tensor[] {
    const { scales } = this;
    return scales.kind === 'plain'
      ? [this.packed, scales.absmax]
      : [this.packed, scales.codes, scales.absmax, scales.map, scales.offset];
  }

  override storages(): Storage[] {
    return this.#tensors.map((tensor) => tensor.storage);
  }

  /** Bytes of codes and scales together. */
  override get bytes(): number {
    return this.#tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  }

  /**
   * Dequantises into fresh memory of the innermost scope; the same bits as bitsandbytes, in f32 and rounded to f16.
   *
   * @returns a row-major tensor of this shape
   */
  override dense(dtype: 'f32' | 'f16'): Tensor {
    return denseOf([this], this.shape, dtype);
  }

  /** Dequantises to f32 or f16 elements that are there already. */
  denseInto(y: Tensor): void {
    for (const { start, end } of ranges(this.device, this.size, y.dtype === 'f32' ? 4 : 2, this.blocksize))
      this.#dequantize('rows', start, end, y.slice(0, start, end));
  }

  /** Dequantises a matrix to f16 in panels; null where rows are no multiple of eight or one binding does not hold these. */
  override panels(transposed: boolean): Tensor | null {
    const { device, shape } = this;
    const [k, n] = transposed ? shape.toReversed() : shape;
    const bytes = 2 * panelsSize(n, k);
    if (shape.length !== 2 || shape[1] % 8 !== 0 || bytes > device.capabilities.maxBindingBytes - 16) return null;
    if (!transposed) return panelsOf([this], shape);
    const y = device.scope(() => Tensor.empty(device, [panelsSize(n, k)], 'f16'), DEQUANTISED);
    const tiles = Math.ceil(k / TILE_DEPTH);
    device.run({
      kernel: 'nf4-transpose.wgsl',
      defines: { SCALE: this.scales.kind },
      constants: { BLOCK: this.blocksize },
      bindings: { packed: this.packed, ...this.#scaleBindings(), y },
      params: { n, k, tiles, zero: 0 },
      workgroups: [Math.ceil(n / 128), Math.ceil((tiles * TILE_DEPTH) / 128), 1],
    });
    return y;
  }

  /** Dequantises to rows `first_row …` of f16 panels that are there already, `tiles` tiles deep. */
  panelsInto(y: Tensor, tiles: number, first_row: number): void {
    this.#dequantize('panels', 0, this.size, y, { tiles, first_row });
  }

  override stackedWith(others: readonly Tensor[]): Tensor | null {
    const all = [this, ...others];
    return all.every((one) => one instanceof Nf4Tensor) ? stackOf(all) : null;
  }

  #scaleBindings(): Record<string, Tensor> {
    const { scales } = this;
    if (scales.kind === 'plain') return { absmax: scales.absmax };
    return {
      absmax: scales.codes,
      nested_absmax: scales.absmax,
      nested_map: scales.map,
      nested_offset: scales.offset,
    };
  }

  #dequantize(
    ORDER: 'rows' | 'panels',
    start: number,
    end: number,
    y: Tensor,
    panels = { tiles: 0, first_row: 0 },
  ): void {
    const { device, shape, blocksize, scales } = this;
    device.run({
      kernel: 'nf4-dequantize.wgsl',
      defines: { SCALE: scales.kind, Y: y.dtype, ORDER },
      constants: { BLOCK: blocksize },
      bindings: { packed: this.packed.slice(0, start / 2, Math.ceil(end / 2)), ...this.#scaleBindings(), y },
      params: {
        count: end - start,
        first_block: start / blocksize,
        zero: 0,
        width: shape[shape.length - 1],
        ...panels,
      },
      workgroups: Math.ceil((end - start) / 8192),
    });
  }

  /** All parts on the host. */
  async parts(): Promise<Nf4Parts> {
    const packed = await this.packed.data<'u8'>();
    const { scales } = this;
    if (scales.kind === 'plain') return { packed, absmax: await scales.absmax.data() };
    return {
      packed,
      absmax: await scales.codes.data<'u8'>(),
      absmax2: await scales.absmax.data(),
      code2: await scales.map.data(),
      offset: await scales.offset.item(),
    };
  }

  /** The dequantised weights. */
  override async numbers(): Promise<Float32Array> {
    const pending = this.device.scope(() => this.dense('f32').data());
    return pending;
  }

  override data<D extends keyof HostArray = 'f32'>(): Promise<HostArray[D]> {
    throw this.refuse('data()', 'parts() for the codes, numbers() for the weights');
  }
}

export type SourceDtype = 'float32' | 'float16' | 'bfloat16';

/**
 * Quantises weights on the GPU; packed bytes, scales, nested codes and offset are those of bitsandbytes on CUDA.
 *
 * bitsandbytes drops a NaN silently; here its block's scale becomes NaN, so that it stays visible. Subnormal inputs
 * count as zero, as they do there.
 *
 * @param x f32 or f16, usually [out, in]; blocks run over it in row-major order
 * @throws UserError for another dtype, an empty tensor or a block size that bitsandbytes does not know
 */
export function quantizeNf4(x: Tensor, { doubleQuant = true, blocksize = 64 }: Nf4Options = {}): Nf4Tensor {
  const { device, size } = x;
  if ((x.dtype !== 'f32' && x.dtype !== 'f16') || size === 0)
    throw complain({
      where: 'quantizeNf4',
      got: `${x.dtype} [${x.shape}]`,
      expected: 'f32 or f16 with at least one element',
      remedy: 'pass the dense weights',
    });
  if (!BLOCK_SIZES.includes(blocksize))
    throw complain({
      where: 'quantizeNf4',
      got: `blocksize ${blocksize}`,
      expected: BLOCK_SIZES.join(', '),
      remedy: 'use 64, the usual one',
    });
  return device.scope(() => {
    const flat = contiguous(x).view([size]);
    const blocks = Math.ceil(size / blocksize);
    const packed = Tensor.empty(device, [Math.ceil(size / 2)], 'u8');
    const absmax = Tensor.empty(device, [blocks]);
    for (const { start, end } of ranges(device, size, x.dtype === 'f32' ? 4 : 2, blocksize))
      device.run({
        kernel: 'nf4-quantize.wgsl',
        defines: { X: x.dtype },
        constants: { BLOCK: blocksize, LANES: Math.min(64, blocksize / 8) },
        bindings: {
          x: flat.slice(0, start, end),
          packed: packed.slice(0, start / 2, Math.ceil(end / 2)),
          absmax,
        },
        params: { count: end - start, first_block: start / blocksize },
        workgroups: Math.ceil((end - start) / Math.max(512, blocksize)),
      });
    if (!doubleQuant) return new Nf4Tensor(x.shape, packed, { kind: 'plain', absmax }, { blocksize });
    const offset = cudaMean(absmax);
    const nested = quantizeBlockwise8(absmax, offset);
    const map = Tensor.from(device, dynamicMap(true));
    return new Nf4Tensor(x.shape, packed, { kind: 'nested', ...nested, map, offset }, { blocksize });
  });
}

/**
 * Ranges of elements whose dense form fits one binding and begins, dense and packed, at an aligned byte and a block.
 *
 * @param width bytes of a dense element
 */
function ranges(device: Device, size: number, width: number, blocksize: number): { start: number; end: number }[] {
  const { maxBindingBytes, bindingAlignment } = device.capabilities;
  const unit = Math.max(2 * bindingAlignment, blocksize);
  const step = Math.max(unit, Math.floor((maxBindingBytes - 16) / width / unit) * unit);
  return Array.from({ length: Math.ceil(size / step) }, (_, i) => ({
    start: i * step,
    end: Math.min((i + 1) * step, size),
  }));
}

/** Bytes that the packed codes of a shape take. */
export function packedBytes(shape: Shape): number {
  return Math.ceil(sizeOf(shape) / 2);
}

export const variants: KernelVariant[] = [
  ...combinations({ X: ['f32', 'f16'] }).flatMap((defines) =>
    BLOCK_SIZES.map((BLOCK) => ({
      kernel: 'nf4-quantize.wgsl',
      defines,
      constants: { BLOCK, LANES: Math.min(64, BLOCK / 8) },
      bindings: ['x', 'packed', 'absmax'],
    })),
  ),
  ...[
    ...combinations({ SCALE: ['plain', 'nested'], Y: ['f32', 'f16'], ORDER: ['rows'] }),
    ...combinations({ SCALE: ['plain', 'nested'], Y: ['f16'], ORDER: ['panels'] }),
  ].map((defines) => ({
    kernel: 'nf4-dequantize.wgsl',
    defines,
    constants: { BLOCK: 64 },
    bindings: [
      'packed',
      'absmax',
      ...(defines.SCALE === 'nested' ? ['nested_absmax', 'nested_map', 'nested_offset'] : []),
      'y',
    ],
  })),
  ...['plain', 'nested'].map((SCALE) => ({
    kernel: 'nf4-transpose.wgsl',
    defines: { SCALE },
    constants: { BLOCK: 64 },
    bindings: [
      'packed',
      'absmax',
      ...(SCALE === 'nested' ? ['nested_absmax', 'nested_map', 'nested_offset'] : []),
      'y',
    ],
  })),
];

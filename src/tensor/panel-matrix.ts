import { complain } from '../errors.ts';
import { castTo, contiguous } from './copy.ts';
import type { Device } from './device.ts';
import type { DType } from './dtype.ts';
import { usableMatrixShape } from './gemm/matrix.ts';
import { panelRows } from './gemm/panels.ts';
import { OpaqueMatrix } from './opaque.ts';
import { type Shape, sameShape } from './shape.ts';
import type { Storage } from './storage.ts';
import { Tensor } from './tensor.ts';
import { combinations, type KernelVariant } from './variants.ts';

/** Matrices of few rows are multiplied by tiles of 16 rows, which read no panels. */
const LEAST_ROWS = 128;
/** What widths are a multiple of: tiles of 128 that lie across panels then end with the last one. */
const WIDTH_UNIT = 128;
/** Rows and columns that a workgroup brings from one order to the other; as in kernels/include/panel_place.wgsl. */
const BLOCK = { rows: 32, columns: 64 };

const kernelFrom = (entry: 'pack' | 'unpack', X: DType) => ({ kernel: 'panels.wgsl', entry, defines: { X } });

export const variants: KernelVariant[] = combinations({ entry: ['pack', 'unpack'], X: ['f32', 'f16'] })
  .filter(({ entry, X }) => entry === 'pack' || X === 'f16')
  .map(({ entry, X }) => ({ ...kernelFrom(entry as 'pack' | 'unpack', X as DType), bindings: ['x', 'y'] }));

/** Workgroups of a kernel that goes by panel_place.wgsl over a matrix [rows, columns]. */
export const panelGroups = ([rows, columns]: Shape) => (panelRows(rows) / BLOCK.rows) * (columns / BLOCK.columns);

/**
 * Activations or their gradients [rows, columns] in f16 in the panels of gemm/panels.ts, for products on matrix units:
 * these read it as a, plain or transposed, and as b beside a transposed a. To all else it is an opaque matrix, which
 * `contiguous` and `dense` copy to rows.
 */
export class PanelMatrix extends OpaqueMatrix {
  protected override readonly kind = 'matrix in panels';

  private constructor(device: Device, storage: Storage, shape: Shape) {
    super(device, storage, 'f16', shape);
  }

  /**
   * A matrix with unset elements.
   *
   * @throws UserError for fewer rows than 128 and for columns that are no multiple of 128
   */
  static override empty(device: Device, shape: Shape): PanelMatrix {
    const [rows, columns] = shape;
    if (shape.length !== 2 || !fits(shape))
      throw complain({
        where: 'PanelMatrix',
        got: `shape [${shape}]`,
        expected: `at least ${LEAST_ROWS} rows and a multiple of ${WIDTH_UNIT} columns`,
        remedy: 'ask panelsSuit() first',
      });
    const { storage } = Tensor.empty(device, [panelRows(rows) * columns], 'f16');
    return new PanelMatrix(device, storage, shape);
  }

  /** What lies in storage, f16 [1, elements]: rows of a panel are padded to a multiple of 32 with anything. */
  get stored(): Tensor {
    const [rows, columns] = this.shape;
    return new Tensor(this.device, this.storage, 'f16', [1, panelRows(rows) * columns]);
  }

  override view(shape: Shape): Tensor {
    return sameShape(shape, this.shape) ? this : super.view(shape);
  }

  override dense(dtype: 'f32' | 'f16'): Tensor {
    const { device, shape, stored } = this;
    const y = Tensor.empty(device, shape, 'f16');
    device.run({
      ...kernelFrom('unpack', 'f16'),
      bindings: { x: stored, y },
      params: { rows: shape[0], width: shape[1] },
      workgroups: panelGroups(shape),
    });
    return castTo(y, dtype);
  }
}

const fits = ([rows, columns]: Shape) => rows >= LEAST_ROWS && columns % WIDTH_UNIT === 0 && columns > 0;

/**
 * Whether products on this device read a matrix of activations faster in panels: on matrix units, where it is large
 * enough, and where it can be bound as a whole, in f32 too, from which it may be rounded.
 */
export function panelsSuit(device: Device, shape: Shape): boolean {
  const { capabilities } = device;
  const [rows, columns] = shape;
  const bytes = 4 * panelRows(rows) * columns;
  return usableMatrixShape(capabilities) !== undefined && fits(shape) && bytes <= capabilities.maxBindingBytes - 16;
}

/** Matrices in f32 or f16 side by side in panels; see {@link panelsSuit}. */
export function inPanels(matrices: readonly Tensor[]): PanelMatrix {
  const [{ device, shape }] = matrices;
  const [rows] = shape;
  const y = PanelMatrix.empty(device, [rows, matrices.reduce((sum, matrix) => sum + matrix.shape[1], 0)]);
  let start = 0;
  for (const matrix of matrices) {
    const end = start + panelRows(rows) * matrix.shape[1];
    device.run({
      ...kernelFrom('pack', matrix.dtype),
      bindings: { x: contiguous(matrix), y: y.stored.slice(1, start, end) },
      params: { rows, width: matrix.shape[1] },
      workgroups: panelGroups(matrix.shape),
    });
    start = end;
  }
  return y;
}

/**
 * The order in which matrix units like an operand best: panels of 32 columns of a matrix, one after the other, row by row.
 * What a workgroup fetches of one, 32 rows of it, lies side by side in storage, whichever tiles the product is cut into and
 * whether rows or columns are its depth. Of eight rows the order is 0, 4, 1, 5, 2, 6, 3, 7: the eight invocations that fetch
 * 128 bytes together store rows that are four apart, which go to different banks of workgroup memory. Kernels have this
 * order from kernels/include/panel_order.wgsl.
 */
export const PANEL_COLUMNS = 32;
/** Rows that products take at a time: a panel is padded to a multiple. */
export const TILE_DEPTH = 32;

/** Rows of a panel of a matrix with so many. */
export const panelRows = (rows: number) => Math.ceil(rows / TILE_DEPTH) * TILE_DEPTH;

/** The widest tile of results, in panels: it may begin in the last panel, and its kernel does not ask where they end. */
const TILE_PANELS = 5;

/** Elements of a frozen matrix [k, n] in panels. Rows beyond k are zero, panels beyond n may hold anything. */
export function panelsSize(n: number, k: number): number {
  const panels = Math.ceil(n / PANEL_COLUMNS) + TILE_PANELS - 1;
  return panels * PANEL_COLUMNS * panelRows(k);
}

/**
 * Bounds of checkOp: largest error over the largest reference value.
 *
 * f32: sums of up to a few hundred terms in f32 stay below 2e-6 of the largest result; gradients through two
 * such sums double that. f16: storing a result rounds it by up to 2^-11 = 4.9e-4, and gradients pass two stores.
 *
 * Where a whole gradient cancels (softmax over one key: its slope is g·v − g·o with o = v), the largest reference value
 * is 0, while each term is rounded relative to its own size: there the bound is taken of the largest term, which the
 * caller states (`terms`).
 */
export const OPERATION_TOLERANCE = { f32: 1e-5, f16: 2e-3 } as const;

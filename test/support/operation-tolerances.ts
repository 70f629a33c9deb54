/**
 * Bounds of checkOp: largest error over the largest reference value.
 *
 * f32: sums of up to a few hundred terms in f32 stay below 2e-6 of the largest result; gradients through two
 * such sums double that. f16: storing a result rounds it by up to 2^-11 = 4.9e-4, and gradients pass two stores.
 */
export const OPERATION_TOLERANCE = { f32: 1e-5, f16: 2e-3 } as const;

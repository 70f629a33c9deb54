/** What the sixteen IQ4 codes stand for, denser near zero (kvalues_iq4nl of ggml-common.h). */
export const IQ4_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const;

/** Twice the middles between neighbours: a number whose double is below threshold i takes code i at most. */
export const IQ4_THRESHOLDS = IQ4_VALUES.slice(1).map((value, i) => value + IQ4_VALUES[i]);

/** Trials divide the largest magnitude by the first value −7 … +7. */
export const IQ4_TRIALS = 7;

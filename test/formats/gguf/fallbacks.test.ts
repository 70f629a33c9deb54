import { expect, test } from 'vitest';
import { fallbackNote, type MatrixType } from '../../../src/formats/gguf/fallbacks.ts';

const kept: MatrixType = { wanted: 'q6_k', type: 'q6_k' };
const changed: MatrixType = { wanted: 'q4_k', type: 'q5_0' };

test('matrices that take other types are counted; one is one', () => {
  expect(fallbackNote('m', [kept, kept])).toBe(null);
  expect(fallbackNote('m', [kept, changed, kept])).toBe(
    'm: 1 of 3 matrices has rows that are no multiple of a block, and takes another type: q5_0 instead of q4_k (1)',
  );
  expect(fallbackNote('m', [changed, changed, { wanted: 'q6_k', type: 'q8_0' }])).toBe(
    'm: 3 of 3 matrices have rows that are no multiple of a block, and take other types: q5_0 instead of q4_k (2), q8_0 instead of q6_k (1)',
  );
});

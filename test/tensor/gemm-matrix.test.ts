import { describe } from 'vitest';
import { path } from '../support/matrix-products.ts';
import { testShapes } from '../support/matrix-shapes.ts';

describe(path, () => testShapes(false));

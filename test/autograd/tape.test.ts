import { beforeEach, describe, expect, test } from 'vitest';
import { apply, applyAll } from '../../src/autograd/apply.ts';
import { checkpoint } from '../../src/autograd/checkpoint.ts';
import { operation } from '../../src/autograd/operation.ts';
import { add, div, exp, mul, scale, silu, square, sub } from '../../src/autograd/ops/elementwise.ts';
import { slice } from '../../src/autograd/ops/join.ts';
import { linear } from '../../src/autograd/ops/linear.ts';
import { mean, sum } from '../../src/autograd/ops/reductions.ts';
import { permute, reshape } from '../../src/autograd/ops/reshape.ts';
import { noGrad, withTape } from '../../src/autograd/recording.ts';
import { type Checkpointing, Tape } from '../../src/autograd/tape.ts';
import { mapBinary, mapUnary } from '../../src/tensor/elementwise.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { compare, normals } from '../support/check-op.ts';
import { testDevice } from '../support/device.ts';
import { leafOn, takeGrad } from '../support/leaf.ts';

const device = await testDevice();
const MODES: Checkpointing[] = ['none', 'selective', 'full'];

let before = 0;
beforeEach(() => {
  before = device.memory.live;
  return () => {
    expect(device.memory.live, 'live buffers').toBe(before);
    expect(device.scopes.depth).toBe(0);
  };
});

const leaf = (values: ArrayLike<number>, shape?: number[], dtype?: 'f32' | 'f16') =>
  leafOn(device, values, shape, dtype);

/** Forward pass, whose tensors die unless the tape holds them, and backward pass. */
function run(fn: () => Tensor, mode: Checkpointing = 'none', seed?: Tensor): void {
  const tape = new Tape(mode);
  device.scope(() => {
    const loss = withTape(tape, () => device.scope(fn));
    tape.backward(loss, seed);
  });
}

/** An operation that selective checkpointing does not run again, with hooks to look in. */
function heavy(hooks: { forward?: () => void; backward?: (grad: Tensor) => void } = {}) {
  return operation({
    name: 'heavy',
    cheap: false,
    check: () => {},
    forward: ([x]) => {
      hooks.forward?.();
      return { output: mapUnary('sin(a)', x) };
    },
    keeps: () => ({ inputs: [0] }),
    backward: ({ grad, inputs: [x] }) => {
      hooks.backward?.(grad);
      return [mapBinary('heavy', 'b * cos(a)', x, grad)];
    },
    reference: ([x]) => ({ shape: x.shape, data: x.data.map(Math.sin) }),
  });
}
const sine = (x: Tensor) => apply(heavy(), [x], undefined);

describe('gradients', () => {
  test.each(MODES)('add up over uses, branches and broadcasts: %s', (mode) =>
    device.scopeAsync(async () => {
      const [x, y] = [leaf([2, 3]), leaf([5])];
      run(() => {
        const both = mul(x, y); // [10, 15]
        const again = add(both, both); // 2xy
        return sum(add(square(again), add(x, x))); // Σ 4x²y² + 2x
      }, mode);
      expect(await takeGrad(x)).toEqual([8 * 2 * 25 + 2, 8 * 3 * 25 + 2]);
      expect(await takeGrad(y)).toEqual([8 * 5 * (4 + 9)]);
    }),
  );

  test('of the same tensor as both operands', () =>
    device.scopeAsync(async () => {
      const x = leaf([3, -2]);
      for (const [fn, expected] of [
        [() => add(x, x), [2, 2]],
        [() => sub(x, x), [0, 0]],
        [() => mul(x, x), [6, -4]],
        [() => div(x, x), [0, 0]],
      ] as const) {
        run(() => sum(fn()));
        const gradient = await takeGrad(x);
        for (const [i, want] of expected.entries()) expect(gradient[i]).toBeCloseTo(want, 6);
      }
    }));

  test('pass through reshapes, slices and permutations', () =>
    device.scopeAsync(async () => {
      for (const mode of MODES) {
        const x = leaf([1, 2, 3, 4, 5, 6]);
        run(() => {
          const columns = permute(reshape(x, [2, 3]), [1, 0]); // [[1,4],[2,5],[3,6]]
          const middle = slice(columns, 0, 1, 3); // [[2,5],[3,6]]
          return sum(square(reshape(middle, [4])));
        }, mode);
        expect(await takeGrad(x)).toEqual([0, 4, 6, 0, 10, 12]);
      }
    }));

  test('collect in leaf.grad over micro-batches', () =>
    device.scopeAsync(async () => {
      const x = leaf([1, 2], [2], 'f16');
      for (const factor of [1, 10, 100]) run(() => sum(scale(x, factor)));
      expect(x.grad!.dtype).toBe('f32');
      expect(await takeGrad(x)).toEqual([111, 111]);
    }));

  test('of f16 leaves are summed and collected in f32', () =>
    device.scopeAsync(async () => {
      const x = leaf([1], [1], 'f16');
      const rows = Tensor.from(device, new Float32Array(4099).fill(1), [4099, 1], 'f16');
      run(() => sum(mul(x, rows)));
      expect(await takeGrad(x)).toEqual([4099]); // which no f16 is
    }));

  test('start from a seed', () =>
    device.scopeAsync(async () => {
      const x = leaf([1, 2, 3]);
      run(() => square(x), 'none', Tensor.from(device, [10, 0, -1]));
      expect(await takeGrad(x)).toEqual([20, 0, -6]);
    }));

  test('go to the sink of the tape instead of leaf.grad', () =>
    device.scopeAsync(async () => {
      const x = leaf([1, 2]);
      const seen: [Tensor, number[]][] = [];
      const pending: Promise<unknown>[] = [];
      const tape = new Tape('none', (target, gradient) => {
        expect(gradient.bindable).toBe(true);
        pending.push(gradient.numbers().then((numbers) => seen.push([target, [...numbers]])));
      });
      tape.backward(withTape(tape, () => sum(x)));
      await Promise.all(pending);
      expect(seen).toEqual([[x, [1, 1]]]);
      expect(x.grad).toBeNull();
    }));

  test('reach operations contiguous, also those of a sum, which are broadcast', () =>
    device.scopeAsync(async () => {
      const states: boolean[] = [];
      const probe = heavy({ backward: (grad) => states.push(grad.bindable) });
      const x = leaf(normals(12), [3, 4]);
      run(() => sum(apply(probe, [x], undefined)));
      run(() => sum(sum(apply(probe, [x], undefined), { dim: 1 })));
      run(() => sum(reshape(slice(permute(apply(probe, [x], undefined), [1, 0]), 0, 1, 3), [6])));
      expect(states).toEqual([true, true, true]);
      await takeGrad(x);
    }));

  test('of tensors that need none are not computed', () =>
    device.scopeAsync(async () => {
      const needs: (readonly boolean[])[] = [];
      const spy = operation({
        name: 'spy',
        cheap: false,
        check: () => {},
        forward: ([a, b], _, wanted) => {
          needs.push(wanted);
          return { output: mapBinary('spy', 'a + b', a, b) };
        },
        keeps: () => ({ inputs: [] }),
        backward: ({ grad, needs: wanted }) => {
          needs.push(wanted);
          return [grad, grad];
        },
        reference: ([a]) => a,
      });
      const [x, frozen] = [leaf([1]), Tensor.from(device, [1])];
      run(() => apply(spy, [frozen, x], undefined));
      apply(spy, [frozen, x], undefined);
      expect(needs).toEqual([
        [false, true],
        [false, true],
        [false, false],
      ]);
      expect(frozen.grad).toBeNull();
      await takeGrad(x);
    }));
});

describe('gradients that products collect themselves', () => {
  const matrix = (seed: number, rows: number, columns: number, dtype: 'f32' | 'f16' = 'f32') =>
    leaf(normals(rows * columns, seed), [rows, columns], dtype);

  /** Gradient of Σ c ⊙ (x · wᵀ) for x, c · w, and for w, cᵀ · x. */
  function product(a: ArrayLike<number>, b: ArrayLike<number>, m: number, n: number, k: number, transposeA: boolean) {
    const at = (i: number, q: number) => (transposeA ? a[q * m + i] : a[i * k + q]);
    return Float64Array.from({ length: m * n }, (_, i) => {
      let dot = 0;
      for (let q = 0; q < k; q++) dot += at(Math.floor(i / n), q) * b[q * n + (i % n)];
      return dot;
    });
  }

  test.each(MODES)('sum over uses of an input and of a weight, and over micro-batches: %s', (mode) =>
    device.scopeAsync(async () => {
      const [x, w] = [matrix(1, 3, 4), matrix(2, 4, 4)];
      const c = Tensor.from(device, normals(12, 3), [3, 4]);
      let grad: Tensor | null = null;
      // Two layers: x · wᵀ is used twice, w three times.
      for (let micro = 0; micro < 2; micro++) {
        run(() => {
          const y = linear(x, w);
          return sum(mul(add(linear(y, w), linear(y, w, { scale: 2 })), c));
        }, mode);
        if (micro === 0) grad = w.grad;
      }
      expect(w.grad).toBe(grad); // The second micro-batch added to it in place.
      const [xv, wv, cv] = [await x.numbers(), await w.numbers(), await c.numbers()];
      const y = product(
        xv,
        wv.map((_, i) => wv[(i % 4) * 4 + (i >> 2)]),
        3,
        4,
        4,
        false,
      );
      const dy = product(cv, wv, 3, 4, 4, false).map((v) => 3 * v);
      const dw = product(cv, y, 4, 4, 3, true).map((v, i) => 3 * v + product(dy, xv, 4, 4, 3, true)[i]);
      compare(
        'x',
        await takeGrad(x),
        product(dy, wv, 3, 4, 4, false).map((v) => 2 * v),
        1e-5,
      );
      compare(
        'w',
        await takeGrad(w),
        dw.map((v) => 2 * v),
        1e-5,
      );
    }),
  );

  test('count what is collected once when an input is given twice', () =>
    device.scopeAsync(async () => {
      const x = matrix(1, 3, 3);
      run(() => sum(linear(x, x, { residual: scale(x, 2) })));
      const v = await x.numbers();
      const ones = new Float64Array(9).fill(1);
      const both = product(ones, v, 3, 3, 3, false).map((a, i) => a + product(ones, v, 3, 3, 3, true)[i] + 2);
      compare('x', await takeGrad(x), both, 1e-5);
    }));

  test('go to a sink one by one', () =>
    device.scopeAsync(async () => {
      const w = matrix(1, 2, 2);
      const seen: Tensor[] = [];
      const tape = new Tape('none', (_, gradient) => seen.push(gradient));
      tape.backward(withTape(tape, () => sum(linear(linear(Tensor.from(device, [1, 2], [1, 2]), w), w))));
      expect(seen).toHaveLength(2);
      expect(w.grad).toBeNull();
    }));
});

describe('operations with several outputs', () => {
  /** 2x, x itself and x³. */
  const fork = (cheap: boolean, saw: (readonly (Tensor | null)[])[] = []) =>
    operation({
      name: 'fork',
      cheap,
      check: () => {},
      forward: ([x]) => ({ output: mapUnary('2.0 * a', x), others: [x, mapUnary('a * a * a', x)] }),
      keeps: () => ({ inputs: [0], output: true }),
      backward: ({ grads, inputs: [x] }) => {
        saw.push(grads);
        const [a, b, c] = grads;
        const slopes = [a && mapUnary('2.0 * a', a), b, c && mapBinary('fork', '3.0 * a * a * b', x, c)];
        return [slopes.filter((g) => g !== null).reduce((sum, g) => mapBinary('fork', 'a + b', sum, g))];
      },
      reference: ([x]) => x,
    });

  test.each(MODES)('collect the gradients of all, whatever the loss uses: %s', (mode) =>
    device.scopeAsync(async () => {
      for (const cheap of [true, false])
        for (const used of [[0], [1], [2], [0, 2], [2, 1, 0]]) {
          const saw: (readonly (Tensor | null)[])[] = [];
          const x = leaf([1, -2, 3]);
          run(() => {
            const outputs = applyAll(fork(cheap, saw), [exp(x)], undefined);
            return used.map((i) => sum(square(outputs[i]))).reduce((a, b) => add(a, b));
          }, mode);
          // Of e^x: (2e^x)², (e^x)² and (e^3x)².
          const want = [1, -2, 3].map((v) =>
            used.reduce((total, i) => total + [8, 2, 6][i] * Math.exp([2, 2, 6][i] * v), 0),
          );
          compare('fork', await takeGrad(x), want, 1e-5);
          expect(saw.map((grads) => grads.map((grad) => grad !== null))).toEqual([
            [0, 1, 2].map((i) => used.includes(i)),
          ]);
        }
    }),
  );

  test('are as many tensors, one that is an input too', () =>
    device.scope(() => {
      const x = leaf([1, 2]);
      const tape = new Tape();
      const outputs = withTape(tape, () => applyAll(fork(true), [x], undefined));
      tape.release();
      expect(new Set([x, ...outputs]).size).toBe(4);
      expect(outputs[1].storage).toBe(x.storage);
    }));
});

describe('operations that hand their input through', () => {
  const identity = operation({
    name: 'identity',
    cheap: true,
    check: () => {},
    forward: ([x]) => ({ output: x }),
    keeps: () => ({ inputs: [0], output: true }),
    backward: ({ grad }) => [grad],
    reference: ([x]) => x,
  });

  test.each(MODES)('%s', (mode) =>
    device.scopeAsync(async () => {
      const x = leaf([3]);
      run(() => {
        const y = apply(identity, [square(x)], undefined);
        return sum(
          add(
            apply(identity, [y], undefined),
            checkpoint((h) => h, y),
          ),
        );
      }, mode);
      expect(await takeGrad(x)).toEqual([12]);
    }),
  );
});

/** A tower of residual layers like a model's: cheap operations between expensive ones. */
function tower(x: Tensor, weights: readonly Tensor[]): Tensor {
  const layer = (h: Tensor, w: Tensor) => {
    const a = sine(mul(h, w));
    const b = silu(a);
    const c = mul(b, exp(scale(b, 0.1)));
    return add(h, sine(square(c)));
  };
  return mean(weights.reduce((h, w) => checkpoint((inner) => layer(inner, w), h), x));
}

describe('checkpointing', () => {
  test('gives the same bits, and less memory from none over selective to full', () =>
    device.scopeAsync(async () => {
      const shape = [64, 257];
      const x = leaf(normals(64 * 257), shape);
      const weights = Array.from({ length: 8 }, (_, i) => leaf(normals(257, i + 2), [257]));
      const results = [];
      for (const mode of MODES) {
        device.resetPeakMemory();
        const start = device.memory.liveBytes;
        const tape = new Tape(mode);
        const loss = withTape(tape, () => device.scope(() => tower(x, weights)));
        const kept = device.memory.liveBytes - start;
        tape.backward(loss);
        const peak = device.memory.peakBytes - start;
        const bits = [await loss.item()];
        for (const parameter of [x, ...weights]) bits.push(...(await takeGrad(parameter)));
        results.push({ kept, peak, bits });
      }
      const [none, selective, full] = results;
      expect(selective.bits).toEqual(none.bits);
      expect(full.bits).toEqual(none.bits);
      expect(none.bits.every(Number.isFinite)).toBe(true);
      const bytes = 64 * 257 * 4;
      expect(full.kept).toBeLessThan(9 * bytes * 1.2);
      expect(selective.kept).toBeLessThan(none.kept * 0.6);
      expect(selective.peak).toBeLessThan(none.peak * 0.8);
      expect(full.peak).toBeLessThan(selective.peak * 0.95);
    }));

  test('selective does not run expensive operations again, full runs each once more', () =>
    device.scopeAsync(async () => {
      const x = leaf(normals(5));
      const counts = MODES.map((mode) => {
        let count = 0;
        const counted = heavy({ forward: () => count++ });
        run(() => {
          const step = (h: Tensor) => square(apply(counted, [scale(h, 0.5)], undefined));
          return sum(checkpoint(step, checkpoint(step, x)));
        }, mode);
        return count;
      });
      expect(counts).toEqual([2, 2, 4]);
      await takeGrad(x);
    }));

  test('full makes no use of the output of a segment again: its last operation only saves', () =>
    device.scopeAsync(async () => {
      const x = leaf(normals(7));
      const counts: Record<string, number[]> = {};
      const bits: Record<string, number[]> = {};
      for (const mode of MODES) {
        let [forwards, saves] = [0, 0];
        const slopeOf = (t: Tensor) => mapUnary('cos(a)', t);
        const counted = operation({
          name: 'counted',
          cheap: false,
          check: () => {},
          forward: ([t]) => {
            forwards++;
            return { output: mapUnary('sin(a)', t), saved: [slopeOf(t)] };
          },
          saves: ([t]) => {
            saves++;
            return [slopeOf(t)];
          },
          keeps: () => ({ inputs: [] }),
          backward: ({ grad, saved: [slope] }) => [mapBinary('counted', 'a * b', slope, grad)],
          reference: ([t]) => t,
        });
        const use = (t: Tensor) => apply(counted, [t], undefined);
        run(
          () =>
            sum(
              checkpoint(
                (h) => use(square(use(h))),
                checkpoint((h) => use(h), x),
              ),
            ),
          mode,
        );
        counts[mode] = [forwards, saves];
        bits[mode] = await takeGrad(x);
      }
      // Of three, one lies inside its segment.
      expect(counts).toEqual({ none: [3, 0], selective: [3, 0], full: [4, 2] });
      expect(bits.selective).toEqual(bits.none);
      expect(bits.full).toEqual(bits.none);
    }));

  test('what selective brings back goes before the operation that made it runs backwards', () =>
    device.scopeAsync(async () => {
      const bytes = 1024 * 4;
      const live: number[] = [];
      const cheap = operation({
        name: 'cheap',
        cheap: true,
        check: () => {},
        forward: ([t]) => ({ output: mapUnary('a + 1.0', t) }),
        keeps: () => ({ inputs: [] }),
        backward: ({ grad }) => {
          live.push(device.memory.liveBytes);
          return [grad];
        },
        reference: ([t]) => t,
      });
      const x = leaf(normals(1024));
      const start = device.memory.liveBytes;
      run(() => sum(sine(apply(cheap, [sine(x)], undefined))), 'selective');
      // The first sine's output, from which it was brought back, and the gradient; besides scalars of the sum.
      expect(live[0] - start).toBeLessThan(2.5 * bytes);
      await takeGrad(x);
    }));

  test('selective brings back what a cheap operation saved, from its inputs', () =>
    device.scopeAsync(async () => {
      const saving = operation({
        name: 'saving',
        cheap: true,
        check: () => {},
        forward: ([x]) => ({ output: mapUnary('a * a', x), saved: [mapUnary('2.0 * a', x)] }),
        keeps: () => ({ inputs: [] }),
        backward: ({ grad, saved: [slope] }) => [mapBinary('saving', 'a * b', slope, grad)],
        reference: ([x]) => x,
      });
      for (const mode of MODES) {
        const x = leaf([0.5, 1, 2]);
        // The expensive operation's output is needed by nothing but the recomputation: it has to be kept for that.
        let count = 0;
        const counted = heavy({ forward: () => count++ });
        run(() => sum(apply(saving, [apply(counted, [x], undefined)], undefined)), mode);
        expect(count).toBe(1);
        for (const [i, gradient] of (await takeGrad(x)).entries())
          expect(gradient).toBeCloseTo(Math.sin(2 * [0.5, 1, 2][i]), 5);
      }
    }));

  test('selective walks shared cheap inputs once', () =>
    device.scopeAsync(async () => {
      const x = leaf([1]);
      run(() => {
        let h = scale(x, 1);
        for (let i = 0; i < 60; i++) h = div(mul(h, h), h);
        return sum(sine(h));
      }, 'selective');
      expect((await takeGrad(x))[0]).toBeCloseTo(Math.cos(1), 5);
    }));

  test('a segment may hold leaves only, or nothing that learns', () =>
    device.scopeAsync(async () => {
      for (const mode of MODES) {
        const [w, input] = [leaf([3]), Tensor.from(device, [2])];
        run(() => {
          const frozen = checkpoint((h) => square(h), input);
          const inside = checkpoint((h) => mul(h, w), frozen);
          return sum(
            add(
              inside,
              checkpoint((h) => exp(h), input),
            ),
          );
        }, mode);
        expect(await takeGrad(w)).toEqual([4]);
      }
    }));

  test('a segment of f16 tensors and views', () =>
    device.scopeAsync(async () => {
      for (const mode of MODES) {
        const x = leaf([1, 2, 3, 4], [2, 2], 'f16');
        run(() => sum(checkpoint((h) => square(permute(h, [1, 0])), slice(x, 1, 1, 2))), mode);
        expect(await takeGrad(x)).toEqual([0, 4, 0, 8]);
      }
    }));
});

describe('memory', () => {
  test.each(MODES)('only gradients are left after the backward pass: %s', (mode) => {
    device.scope(() => {
      const weights = [leaf([1, 2, 3]), leaf([0.5, 1, -1])];
      const x = Tensor.from(device, [1, 1, 1]);
      const start = device.memory.live;
      const tape = new Tape(mode);
      const loss = withTape(tape, () => device.scope(() => tower(x, weights)));
      expect(device.memory.live).toBeGreaterThan(start + 1);
      tape.backward(loss);
      expect(device.memory.live).toBe(start + 1 + weights.length);
      for (const w of weights) {
        w.grad!.dispose();
        w.grad = null;
      }
    });
  });

  test('outputs that no backward pass needs die with their scope', () => {
    device.scope(() => {
      const x = leaf([1, 2, 3]);
      const start = device.memory.live;
      const tape = new Tape();
      // A sum needs nothing of its operands; the unused branch needs its input.
      const y = withTape(tape, () => device.scope(() => add(add(x, x), add(x, x))));
      expect(device.memory.live).toBe(start + 1);
      withTape(tape, () => device.scope(() => void square(exp(x))));
      expect(device.memory.live).toBe(start + 2);
      tape.backward(y, Tensor.from(device, [1, 1, 1]));
      expect(device.memory.live).toBe(start + 3); // y, the seed and x.grad
      x.grad!.dispose();
    });
  });

  test('release lets go without a backward pass', () => {
    device.scope(() => {
      const x = leaf([1]);
      const start = device.memory.live;
      const tape = new Tape();
      withTape(tape, () => device.scope(() => void square(square(x))));
      expect(device.memory.live).toBeGreaterThan(start);
      tape.release();
      expect(device.memory.live).toBe(start);
    });
  });
});

describe('watch', () => {
  test('hands out gradients of tensors that are no leaves', () =>
    device.scopeAsync(async () => {
      const x = Tensor.from(device, [3]);
      const other = Tensor.from(device, [1]);
      const tape = new Tape();
      tape.watch(x);
      tape.watch(other);
      tape.backward(withTape(tape, () => sum(mul(x, square(x)))));
      expect(await tape.takeGradient(x)!.item()).toBe(27);
      expect(tape.takeGradient(other)).toBeNull();
      expect(tape.takeGradient(x)).toBeNull();
      expect(x.grad).toBeNull();
    }));

  test('gradients that no one takes go with release', () => {
    device.scope(() => {
      const x = Tensor.from(device, [3]);
      const start = device.memory.live;
      const tape = new Tape();
      tape.watch(x);
      device.scope(() => tape.backward(withTape(tape, () => square(x))));
      expect(device.memory.live).toBe(start + 1);
      tape.release();
      expect(device.memory.live).toBe(start);
    });
  });
});

describe('misuse', () => {
  test('a tape runs backwards once', () =>
    device.scopeAsync(async () => {
      const x = leaf([2]);
      const tape = new Tape();
      const loss = withTape(tape, () => square(x));
      tape.backward(loss);
      expect(() => tape.backward(loss)).toThrow(/^Tape\.backward: got a tape that is used up, .* new Tape/);
      expect(() => withTape(tape, () => square(x))).toThrow(/^withTape: got a tape that is used up/);
      expect(await takeGrad(x)).toEqual([4]);
    }));

  test('a loss must be recorded, of one element or with a seed of its shape', async () => {
    await device.scopeAsync(async () => {
      const x = leaf([2, 3]);
      const tape = new Tape();
      const y = withTape(tape, () => square(x));
      const outside = noGrad(() => withTape(new Tape(), () => square(Tensor.from(device, [1]))));
      expect(() => tape.backward(outside)).toThrow(/^Tape\.backward: got a tensor that this tape did not record/);
      expect(() => tape.backward(y)).toThrow(/got a loss of shape \[2\] without a seed/);
      expect(() => tape.backward(y, Tensor.from(device, [1]))).toThrow(/got a seed of shape \[1\]/);
      tape.backward(y, Tensor.from(device, [1, 1]));
      expect(await takeGrad(x)).toEqual([4, 6]);
    });
  });

  test('noGrad records nothing, and the tape listens again afterwards', () =>
    device.scopeAsync(async () => {
      const x = leaf([2]);
      const tape = new Tape();
      const loss = withTape(tape, () => {
        const constant = noGrad(() => square(x));
        expect(tape.tracks(constant)).toBe(false);
        return mul(constant, x);
      });
      tape.backward(loss);
      expect(await takeGrad(x)).toEqual([4]);
      expect(() => new Tape().backward(square(x))).toThrow(/did not record/);
    }));
});

describe('exceptions', () => {
  const failing = (when: 'forward' | 'backward') =>
    heavy({
      [when]: () => {
        throw new Error(`${when} fails`);
      },
    });

  test.each(MODES)('in a forward pass free everything and use the tape up: %s', (mode) => {
    device.scope(() => {
      const x = leaf([1, 2]);
      const start = device.memory.live;
      const tape = new Tape(mode);
      const forward = () =>
        device.scope(() => checkpoint((h) => apply(failing('forward'), [square(h)], undefined), exp(square(x))));
      expect(() => withTape(tape, forward)).toThrow('forward fails');
      expect(device.memory.live).toBe(start);
      expect(() => withTape(tape, forward)).toThrow(/used up/);
      // The next tape listens as if nothing had happened.
      expect(new Tape().tracks(x)).toBe(true);
    });
  });

  test.each(MODES)('in a backward pass free everything: %s', (mode) => {
    device.scope(() => {
      const x = leaf([1, 2]);
      const start = device.memory.live;
      const tape = new Tape(mode);
      const attempt = () =>
        device.scope(() =>
          tape.backward(
            withTape(tape, () => {
              const y = exp(square(x));
              return sum(
                mul(
                  y,
                  checkpoint((h) => square(apply(failing('backward'), [square(h)], undefined)), y),
                ),
              );
            }),
          ),
        );
      expect(attempt).toThrow('backward fails');
      expect(device.memory.live).toBe(start);
      expect(x.grad).toBeNull();
      expect(() => tape.assertOpen('again')).toThrow(/used up/);
    });
  });

  test('in a check leave the tape of an outer call alone', () => {
    device.scope(() => {
      const x = leaf([1, 2]);
      const tape = new Tape();
      const y = withTape(tape, () => {
        expect(() => add(x, Tensor.from(device, [1, 2, 3]))).toThrow(/^add: got shapes/);
        return sum(square(x));
      });
      tape.backward(y);
      x.grad!.dispose();
    });
  });
});

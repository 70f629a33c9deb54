import { Bench } from 'tinybench';

/** How often work is done, and how much of it comes before one wait. */
export interface Rounds {
  iterations: number;
  warmupIterations: number;
  /** Milliseconds of work, at least, that come before: a GPU takes its time to clock up after a pause. */
  warmupTime?: number;
  /** Pieces of work in one submission: the wait at its end must not be what is timed. */
  repeats: number;
}

/**
 * Milliseconds that a piece of work takes by the clock, whole rounds of it timed.
 *
 * @param finish waits until all of it is done
 */
export async function clocked(
  work: (repeat: number) => void,
  finish: () => Promise<void>,
  { repeats, iterations, warmupIterations, warmupTime = 0 }: Rounds,
): Promise<{ median: number; least: number }> {
  const bench = new Bench({ time: 0, iterations, warmupTime, warmupIterations });
  bench.add('work', async () => {
    for (let i = 0; i < repeats; i++) work(i);
    await finish();
  });
  await bench.run();
  const [{ result }] = bench.tasks;
  if (result.state !== 'completed') throw new Error(`bench: ${result.state}`);
  return { median: result.latency.p50 / repeats, least: result.latency.min / repeats };
}

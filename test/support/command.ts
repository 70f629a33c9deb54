import { vi } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { runProgram } from '../../src/cli/run.ts';

/** What a command line did. */
export interface Outcome {
  code: number;
  out: string;
  /** Lines on the error output. */
  err: string[];
}

/** Runs a command line in this process, as `npx tsx train.ts …` would. */
export async function command(...args: string[]): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const text = (values: unknown[]) => values.map((v) => (v instanceof Error ? v.stack : String(v))).join(' ');
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((...values) => void out.push(`${text(values)}\n`)),
    vi.spyOn(console, 'error').mockImplementation((...values) => void err.push(text(values))),
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => out.push(String(chunk)) > 0),
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => err.push(String(chunk)) > 0),
  ];
  try {
    return { code: await runProgram(createProgram(), ['node', 'train.ts', ...args]), out: out.join(''), err };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
}

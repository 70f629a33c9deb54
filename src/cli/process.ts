import { removeTemporaries, watchTemporaries } from '../files/write-file.ts';
import { reportError } from './run.ts';

/** Exit codes of a process that a signal ended, as shells count them. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Ends the process in order when it is interrupted, when its output is closed and when an error escapes: nothing
 * half-written stays behind. Only for the program itself; tests run commands in their own process.
 */
export function guardProcess(): void {
  const leave = (code: number) => {
    removeTemporaries();
    process.exit(code);
  };
  const interrupted = (signal: NodeJS.Signals) => {
    process.stderr.write(`\nerror: interrupted by ${signal} while writing; the incomplete files are removed\n`);
    leave(SIGNALS[signal as keyof typeof SIGNALS]);
  };
  // At other times signals keep their immediate effect: a handler would wait for the end of a long computation.
  watchTemporaries((writing) => {
    for (const signal of Object.keys(SIGNALS))
      if (writing) process.on(signal, interrupted);
      else process.off(signal, interrupted);
  });
  // `| head` closes the output: no reason for a stack.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => leave(error.code === 'EPIPE' ? 141 : reportError(error)));
  process.on('uncaughtException', (error) => leave(reportError(error)));
}

import { Command, InvalidArgumentError } from 'commander';
import { guardProcess } from '../src/cli/process.ts';

/**
 * The command line of a bench: what the user can mend, in its flags or later, ends it with a line and exit code 1.
 *
 * @param name how it is started
 * @param description what is timed, against what, and what the numbers are
 */
export function benchCommand(name: string, description: string): Command {
  guardProcess();
  return (
    new Command(name)
      .description(description)
      .configureHelp({ helpWidth: 120 })
      // What was perhaps meant is a line of its own otherwise.
      .configureOutput({ outputError: (text, write) => write(`${text.trim().replace('\n', ' ')}\n`) })
  );
}

/** A flag's text as a number from 1. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1 is needed');
  return value;
}

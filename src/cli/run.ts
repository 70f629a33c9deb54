import { type Command, CommanderError } from 'commander';
import { UserError } from '../errors.ts';

/** Exit code of a defect of dawntune itself, as in sysexits.h. */
const SOFTWARE_ERROR = 70;

/** Says in one line what a user can mend, and with a stack what only a developer can. */
export function reportError(error: unknown): number {
  if (error instanceof UserError) {
    console.error(`error: ${error.message}`);
    return 1;
  }
  console.error(error);
  console.error('error: this is a defect of dawntune; please report it with the lines above');
  return SOFTWARE_ERROR;
}

/** Runs a command line; returns the exit code. */
export async function runProgram(program: Command, argv: readonly string[]): Promise<number> {
  prepare(program);
  try {
    await program.parseAsync([...argv]);
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (error) {
    // Commander has printed its line (an unknown flag, help) already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    return reportError(error);
  }
}

/** Errors come back as exceptions instead of ending the process, in all commands. */
function prepare(command: Command): void {
  command
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({ outputError: (text, write) => write(`${text.trimEnd().replace(/\n+/g, ' ')}\n`) });
  for (const child of command.commands) prepare(child as Command);
}

import { type Command, CommanderError } from 'commander';
import { explained, UserError } from '../errors.ts';
import { flagHint } from '../train/foreign-names.ts';

/** Exit code of a defect of dawntune itself, as in sysexits.h. */
const SOFTWARE_ERROR = 70;

/** Says in one line what a user can mend, and with a stack what only a developer can. */
export function reportError(thrown: unknown): number {
  const error = explained(thrown);
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
  const [node, script, ...args] = argv;
  try {
    const flags = args.map(dashed);
    checkCommand(program, flags);
    await program.parseAsync([node, script, ...flags]);
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error);
    // Help and the version have been printed.
    if (error.exitCode === 0) return 0;
    return reportError(new UserError(`${error.message.replace(/^error: |\.$/g, '')}; ${remedyOf(error, args)}`));
  }
}

/** `--max_steps` is `--max-steps`: recipes and Python write underscores. What follows `--` is text. */
function dashed(arg: string, index: number, args: readonly string[]): string {
  const end = args.indexOf('--');
  if (!arg.startsWith('--') || (end >= 0 && index >= end)) return arg;
  return arg.replace(/^--[\w-]+/, (flag) => flag.replaceAll('_', '-'));
}

/** @throws UserError for a first word that is no command: the default command would call it a superfluous argument */
function checkCommand(program: Command, [first]: readonly string[]): void {
  if (first === undefined || first.startsWith('-') || first === 'help') return;
  const names = program.commands.map((command) => command.name());
  if (!names.includes(first))
    throw new UserError(`${JSON.stringify(first)} is no command, expected one of ${names.join(', ')}; correct it`);
}

function remedyOf({ code, message }: CommanderError, [command, ...rest]: readonly string[]): string {
  const help = `npx tsx train.ts ${command === undefined || command.startsWith('-') ? 'train' : command} --help`;
  if (code === 'commander.unknownOption') {
    const hint = flagHint(/--[\w-]+/.exec(message)?.[0] ?? '');
    return hint ?? `see \`${help}\` for the flags`;
  }
  if (code === 'commander.excessArguments' && rest.length > 1) return 'put text of several words in quotes';
  return `see \`${help}\``;
}

/** Errors come back as exceptions instead of ending the process, in all commands, and are printed here. */
function prepare(command: Command): void {
  command
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({ outputError: () => {} });
  for (const child of command.commands) prepare(child as Command);
}

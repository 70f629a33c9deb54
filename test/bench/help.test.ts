import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const bench = (name: string, ...flags: string[]) =>
  run(process.execPath, ['--import', 'tsx', `bench/${name}.ts`, ...flags]);

const HELP: [string, RegExp][] = [
  ['gemm', /^Usage: bench \[options\]\n\nTimes matrix products .*the rate\./s],
  [
    'dispatch',
    /^Usage: bench\/dispatch\.ts \[options\]\n\nTimes .* a kernel launch on the null backend.*microseconds/s,
  ],
  [
    'ggml',
    /^Usage: bench\/ggml\.ts \[options\] \[types\.\.\.\]\n\nTimes the ggml block formats .*"iq4_xs", default:\s+all\)/s,
  ],
  ['export', /^Usage: bench\/export\.ts \[options\]\n\nTimes the export .*--layers <n> .*\(default: 4\)/s],
  ['attention', /^Usage: bench\/attention\.ts \[options\] \[head-size\]\n.*\(choices: "64", "128", default: "128"\)/s],
  ['8b', /^Usage: bench:8b \[options\]\n.*\(default:\s+full,selective\).*\(default: all\)/s],
  ['parity-8b', /^Usage: bench\/parity-8b\.ts \[options\] <directory>\n.*--steps <n> .*\(default: 20\)/s],
];

test.concurrent.each(HELP)('bench/%s.ts --help explains its flags', async (name, message) => {
  const { stdout, stderr } = await bench(name, '--help');
  expect(stdout).toMatch(message);
  expect(stderr).toBe('');
});

test.concurrent.each<[string, string[], string | RegExp]>([
  ...HELP.map(([name]): [string, string[], string] => [name, ['--nonsense'], "error: unknown option '--nonsense'\n"]),
  ['gemm', ['4096'], 'error: too many arguments. Expected 0 arguments but got 1.\n'],
  [
    'ggml',
    ['q8_0', 'q9'],
    /^error: command-argument value 'q9' is invalid for argument 'types'. Allowed choices are f32, /,
  ],
  ['export', ['--dirs', 'x'], "error: unknown option '--dirs' (Did you mean --dir?)\n"],
  [
    'export',
    ['--layers', '0'],
    "error: option '--layers <n>' argument '0' is invalid. a whole number from 1 is needed\n",
  ],
  ['export', ['--type', 'q9'], /^error: option '--type <type>' argument 'q9' is invalid. Allowed choices are f32, /],
  ['attention', ['65'], /^error: command-argument value '65' is invalid for argument 'head-size'. Allowed choices are/],
  ['8b', ['--torch', 'missing.json'], /^error: missing\.json: does not exist .*\n$/],
  ['8b', ['--parts', 'gem'], /^error: option '--parts <names>' argument 'gem' is invalid\. choose from gemm, /],
])('bench/%s.ts %j is refused in a line', async (name, flags, message) => {
  const failure: { code: number; stderr: string } = await bench(name, ...flags).then(
    () => expect.fail('it ran'),
    (error) => error,
  );
  expect(failure.code).toBe(1);
  if (typeof message === 'string') expect(failure.stderr).toBe(message);
  else expect(failure.stderr).toMatch(message);
  expect(failure.stderr).toMatch(/^.*\n$/);
});

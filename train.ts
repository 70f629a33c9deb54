#!/usr/bin/env -S npx tsx
import { guardProcess } from './src/cli/process.ts';
import { createProgram } from './src/cli/program.ts';
import { runProgram } from './src/cli/run.ts';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`error: Node.js ${process.versions.node} is too old, expected at least 20.19; install a newer one`);
  process.exit(1);
}

guardProcess();
process.exit(await runProgram(createProgram(), process.argv));

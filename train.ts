#!/usr/bin/env -S npx tsx
import { Command } from 'commander';
import { demoCommand } from './src/cli/demo.ts';
import { doctorCommand } from './src/cli/doctor.ts';
import { exportCommand } from './src/cli/export.ts';
import { generateCommand } from './src/cli/generate.ts';
import { referenceCommand } from './src/cli/reference.ts';
import { runProgram } from './src/cli/run.ts';
import { trainCommand } from './src/cli/train.ts';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`error: Node.js ${process.versions.node} is too old, expected at least 20.19; install a newer one`);
  process.exit(1);
}

const program = new Command('train.ts')
  .description('dawntune: fine-tune Llama models on any GPU with TypeScript and WGSL')
  .addCommand(trainCommand(), { isDefault: true })
  .addCommand(generateCommand())
  .addCommand(exportCommand())
  .addCommand(doctorCommand())
  .addCommand(referenceCommand())
  .addCommand(demoCommand());

process.exit(await runProgram(program, process.argv));

import { Command } from 'commander';
import { warn } from './warn.ts';

const QUESTION = 'Is 9.11 larger than 9.9?';
const RIGHT = '9 = 9, 1 < 9. No, 9.11 is smaller than 9.9.';

/** `demo`: the whole job on the embedded tiny model, which is what `npm start` runs. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('fine-tune the embedded tiny model, ask it before and after, and write adapter, merged model and GGUF')
    .option('--config <recipe.yaml>', 'recipe', 'recipes/tiny.yaml')
    .action(async ({ config: recipe }: { config: string }) => {
      const began = performance.now();
      const { checkWritable } = await import('../files/write-file.ts');
      const { Device } = await import('../tensor/device.ts');
      const { trainConfigOf } = await import('./train-options.ts');
      const { finetune, openSession } = await import('../train/finetune.ts');
      const { openData } = await import('../train/training-data.ts');
      const { planLines, planMemory } = await import('../train/memory-plan.ts');
      const { freeMemory } = await import('../tensor/device-memory.ts');
      const { countRight, readHeldOut } = await import('../train/heldout.ts');
      const { writeOutputs } = await import('../train/outputs.ts');
      const { Progress } = await import('../train/progress.ts');
      const { ENDED_AT_ONCE, streamAnswer } = await import('../generate/chat.ts');
      const { planLine } = await import('./run-training.ts');

      const device = await Device.open();
      console.log(`${device.capabilities.name}: ${device.capabilities.driver}`);
      // f16 stores cost a software GPU more than they save.
      const config = trainConfigOf({}, recipe, { precision: device.capabilities.software ? 'f32' : 'mixed' });
      checkWritable(config.output_dir);
      const data = await openData(config);
      const plan = await planMemory(device.capabilities, config, data, freeMemory(device.capabilities));
      const session = await openSession(device, config, data, plan);
      const heldOut = readHeldOut('data/tiny/heldout.jsonl');

      const ask = async (when: string): Promise<string> => {
        process.stdout.write(`\n${when}: ${QUESTION}\n> `);
        let answer = '';
        for await (const text of streamAnswer(session, [{ role: 'user', content: QUESTION }], { max_new_tokens: 40 })) {
          answer += text;
          process.stdout.write(text);
        }
        process.stdout.write(answer === '' ? `(${ENDED_AT_ONCE})\n` : '\n');
        return answer.trim();
      };

      const before = await ask('before');
      console.log(`\n${planLine(data, session)}`);
      for (const line of planLines(plan)) console.log(line);
      warn(plan.warning);
      const progress = new Progress(data.steps);
      await finetune(session, data, config, plan, (report) => console.log(progress.line(report)));
      console.log(progress.summary());
      const after = await ask('after');
      const right = await countRight(session, heldOut, 40);
      console.log(
        `\nheld-out questions: ${right} of ${heldOut.length} right (${((100 * right) / heldOut.length).toFixed(1)} %)`,
      );
      for (const path of await writeOutputs(
        session,
        config.model,
        config.output_dir,
        {
          adapter: true,
          merged: 'float16',
          gguf: ['f16', 'q8_0'],
        },
        { warn },
      ))
        console.log(`wrote ${path}`);
      session.model.dispose();
      device.close();
      console.log(`done in ${((performance.now() - began) / 1000).toFixed(0)} s`);
      if (before === RIGHT || after !== RIGHT || right < 0.95 * heldOut.length) {
        console.error('error: demo: the model did not learn what it should; see the lines above');
        process.exitCode = 1;
      }
    });
}

import { parentPort } from 'node:worker_threads';
import { UserError } from '../../errors.ts';
import { type EncodeJob, encodeRows } from './encode.ts';

/** What a worker answers: one message for each job, in their order. */
export type EncodeReply = { results: Uint8Array[] } | { error: unknown; user: boolean };

parentPort?.on('message', (job: EncodeJob) => {
  let reply: EncodeReply;
  try {
    reply = { results: encodeRows(job) };
  } catch (error) {
    // An error's class does not survive the way between threads.
    reply = { error, user: error instanceof UserError };
  }
  const buffers = 'results' in reply ? reply.results.map(({ buffer }) => buffer as ArrayBuffer) : [];
  parentPort?.postMessage(reply, [...new Set(buffers)]);
});

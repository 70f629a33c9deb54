import { Worker } from 'node:worker_threads';
import { UserError } from '../../errors.ts';
import { type EncodeJob, encodeRows } from './encode.ts';
import type { EncodeReply } from './encode-worker.ts';

/** A job under way and what to do when it is done. */
interface Pending {
  resolve: (results: Uint8Array[]) => void;
  reject: (error: unknown) => void;
}

/** A thread with the jobs it has been given, the oldest first. */
interface Thread {
  worker: Worker;
  pending: Pending[];
  /** Why it ended, once it has. */
  failure: Error | null;
}

/** Runs {@link encodeRows} on several threads; the results do not depend on how many. */
export class EncodePool {
  readonly #threads: Thread[];

  /** @param threads 0 computes in the calling thread */
  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => startThread());
  }

  /** Jobs that keep every thread busy while the next ones are read and results are written. */
  get capacity(): number {
    return 2 * this.#threads.length + 1;
  }

  /** Gives `job.bytes` away: they cannot be used afterwards. */
  encode(job: EncodeJob): Promise<Uint8Array[]> {
    if (this.#threads.length === 0) return new Promise((resolve) => resolve(encodeRows(job)));
    const thread = this.#threads.reduce((a, b) => (b.pending.length < a.pending.length ? b : a));
    if (thread.failure) return Promise.reject(thread.failure);
    return new Promise((resolve, reject) => {
      thread.pending.push({ resolve, reject });
      thread.worker.postMessage(job, [job.bytes.buffer as ArrayBuffer]);
    });
  }

  async close(): Promise<void> {
    for (const { worker } of this.#threads) await worker.terminate();
  }
}

function startThread(): Thread {
  const worker = new Worker(new URL('./encode-worker.mjs', import.meta.url));
  const thread: Thread = { worker, pending: [], failure: null };
  worker.on('message', (reply: EncodeReply) => {
    const job = thread.pending.shift();
    if ('results' in reply) job?.resolve(reply.results);
    else job?.reject(reply.user ? new UserError((reply.error as Error).message) : reply.error);
  });
  worker.on('error', (error: Error) => {
    thread.failure = error;
    for (const job of thread.pending.splice(0)) job.reject(error);
  });
  return thread;
}

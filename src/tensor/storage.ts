import { UserError } from '../errors.ts';
import type { BufferPool } from './pool.ts';

/** A pooled buffer with a count of its owners: scopes, tapes, caches and persistent tensors. */
export class Storage {
  #owners = 1;
  /** Counts recorded launches that may write, so that what is made from the contents knows when they can be others. */
  version = 0;
  #buffer: GPUBuffer;
  readonly #bytes: number;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool, bytes: number) {
    this.#pool = pool;
    this.#bytes = bytes;
    this.#buffer = pool.take(bytes, (to) => {
      this.#buffer = to;
    });
  }

  get freed(): boolean {
    return this.#owners === 0;
  }

  /**
   * The buffer itself, until the next time that memory is taken, which may move the contents to another. Reading it after
   * the last owner let go is a defect of the caller.
   */
  get buffer(): GPUBuffer {
    if (this.freed) throw new UserError('tensor: used after its scope ended; return it from the scope or persist() it');
    return this.#buffer;
  }

  retain(): void {
    if (this.freed)
      throw new UserError('tensor: retained after its scope ended; return it from the scope or persist() it');
    this.#owners++;
  }

  release(): void {
    if (this.freed) throw new UserError('tensor: released twice; give it one owner');
    if (--this.#owners === 0) this.#pool.give(this.#buffer, this.#bytes);
  }
}

/** Storages that die together unless they are kept: see {@link Device.scope}. */
export interface Scope {
  readonly storages: Storage[];
  /** What it is for. */
  readonly purpose: string;
}

/** The scopes that are open, each inside the one before. */
export class ScopeStack {
  readonly #scopes: Scope[] = [];

  get depth(): number {
    return this.#scopes.length;
  }

  /** What the innermost scope is for: the name of an operation, for example. */
  get purpose(): string {
    return this.#scopes.at(-1)?.purpose ?? '';
  }

  /** Gives one ownership of a storage to the innermost scope; without a scope it stays the caller's. */
  adopt(storage: Storage): void {
    this.#scopes.at(-1)?.storages.push(storage);
  }

  /** Takes one ownership back from the scopes: from now on it is the caller's. */
  disown(storage: Storage): void {
    for (const { storages } of this.#scopes.toReversed()) {
      const index = storages.lastIndexOf(storage);
      if (index >= 0) {
        storages.splice(index, 1);
        return;
      }
    }
  }

  /** @param purpose that of the scope around it if left out */
  open(purpose = this.purpose): Scope {
    const scope = { storages: [], purpose };
    this.#scopes.push(scope);
    return scope;
  }

  close(scope: Scope, keep: ReadonlySet<Storage>): void {
    if (this.#scopes.pop() !== scope)
      throw new UserError('scope: closed out of order; await inner work before the outer scope ends');
    for (const storage of scope.storages) {
      if (keep.has(storage)) this.adopt(storage);
      else storage.release();
    }
  }
}

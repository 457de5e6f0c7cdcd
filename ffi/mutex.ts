import { libc } from "./libc.ts";
import { mapMemory, unmapMemory } from "./native_memory.ts";
import type { Pointer } from "./mod.ts";

const EBUSY = 16, EOWNERDEAD = 130, PTHREAD_MUTEX_ROBUST = 1;

/** What {@linkcode tryLock} found: taken by us, held by a living thread, or left behind by a dead one (now ours). */
export type TryLock = "locked" | "busy" | "owner-died";

/**
 * Makes 64 bytes of zeroed native memory (a `pthread_mutex_t` takes 40 on x64, 48 on arm64) a robust mutex: when the
 * thread that holds it ends, the kernel tells the next taker.
 */
export function initMutex(mutex: Pointer): void {
  const attributes = mapMemory(64);
  libc().pthread_mutexattr_init(attributes.pointer);
  libc().pthread_mutexattr_setrobust(attributes.pointer, PTHREAD_MUTEX_ROBUST);
  libc().pthread_mutex_init(mutex, attributes.pointer);
  unmapMemory(attributes);
}

/** Takes the mutex, waiting for it; tells whether its last holder died with it. */
export function lock(mutex: Pointer): { readonly ownerDied: boolean } {
  const error = libc().pthread_mutex_lock(mutex);
  if (error === EOWNERDEAD) libc().pthread_mutex_consistent(mutex);
  else if (error !== 0) throw new Error(`pthread_mutex_lock failed with ${error}`);
  return { ownerDied: error === EOWNERDEAD };
}

/** Takes the mutex if nobody alive holds it. */
export function tryLock(mutex: Pointer): TryLock {
  const error = libc().pthread_mutex_trylock(mutex);
  if (error === EBUSY) return "busy";
  if (error === EOWNERDEAD) libc().pthread_mutex_consistent(mutex);
  else if (error !== 0) throw new Error(`pthread_mutex_trylock failed with ${error}`);
  return error === EOWNERDEAD ? "owner-died" : "locked";
}

/** Lets the mutex go. */
export function unlock(mutex: Pointer): void {
  libc().pthread_mutex_unlock(mutex);
}

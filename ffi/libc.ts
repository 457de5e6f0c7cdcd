import { ffi, type Pointer, type Symbols } from "./mod.ts";
import { cstring } from "./cstring.ts";

const SIGNATURES = {
  __errno_location: { parameters: [], result: "pointer" }, // int *(void)
  aligned_alloc: { parameters: ["usize", "usize"], result: "pointer" }, // (size_t alignment, size_t size)
  close: { parameters: ["i32"], result: "i32" }, // (int fd)
  dlerror: { parameters: [], result: "pointer" }, // char *(void)
  dlopen: { parameters: ["buffer", "i32"], result: "pointer" }, // (const char *path, int flags)
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" }, // (void *library, const char *name)
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" }, // (int fd, int command, int argument)
  madvise: { parameters: ["pointer", "usize", "i32"], result: "i32" }, // (void *address, size_t length, int advice)
  malloc_trim: { parameters: ["usize"], result: "i32" }, // (size_t pad)
  memcpy: { parameters: ["buffer", "pointer", "usize"], result: "pointer" }, // (void *to, const void *from, size_t n)
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" }, // (void *address, size_t length, int protection, int flags, int fd, off_t offset)
  mprotect: { parameters: ["pointer", "usize", "i32"], result: "i32" }, // (void *address, size_t length, int protection)
  munmap: { parameters: ["pointer", "usize"], result: "i32" }, // (void *address, size_t length)
  on_exit: { parameters: ["pointer", "pointer"], result: "i32" }, // (void (*f)(int status, void *context), void *context)
  open: { parameters: ["buffer", "i32"], result: "i32" }, // (const char *path, int flags)
  pipe2: { parameters: ["pointer", "i32"], result: "i32" }, // (int fds[2], int flags)
  pthread_create: { parameters: ["pointer", "pointer", "pointer", "pointer"], result: "i32" }, // (pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
  pthread_detach: { parameters: ["u64"], result: "i32" }, // (pthread_t thread)
  pthread_mutex_consistent: { parameters: ["pointer"], result: "i32" }, // (pthread_mutex_t *mutex)
  pthread_mutex_init: { parameters: ["pointer", "pointer"], result: "i32" }, // (pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
  pthread_mutex_lock: { parameters: ["pointer"], result: "i32" }, // (pthread_mutex_t *mutex)
  pthread_mutex_trylock: { parameters: ["pointer"], result: "i32" }, // (pthread_mutex_t *mutex)
  pthread_mutex_unlock: { parameters: ["pointer"], result: "i32" }, // (pthread_mutex_t *mutex)
  pthread_mutexattr_init: { parameters: ["pointer"], result: "i32" }, // (pthread_mutexattr_t *attributes)
  pthread_mutexattr_setrobust: { parameters: ["pointer", "i32"], result: "i32" }, // (pthread_mutexattr_t *attributes, int robust)
  pthread_sigmask: { parameters: ["i32", "pointer", "pointer"], result: "i32" }, // (int how, const sigset_t *set, sigset_t *old)
  read: { parameters: ["i32", "buffer", "usize"], result: "i64" }, // (int fd, void *bytes, size_t count)
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i64" }, // (const char *path, char *target, size_t length)
  send: { parameters: ["i32", "pointer", "usize", "i32"], result: "i64" }, // (int socket, const void *bytes, size_t length, int flags)
  setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" }, // (const char *name, const char *value, int overwrite)
  free: { parameters: ["pointer"], result: "void" }, // (void *memory)
  getenv: { parameters: ["buffer"], result: "pointer" }, // char *(const char *name)
  socketpair: { parameters: ["i32", "i32", "i32", "pointer"], result: "i32" }, // (int domain, int type, int protocol, int fds[2])
  strerror: { parameters: ["i32"], result: "pointer" }, // char *(int error)
  write: { parameters: ["i32", "pointer", "usize"], result: "i64" }, // (int fd, const void *bytes, size_t count)
} as const;

/** The C library's functions, by their C names. */
export type Libc = Symbols<typeof SIGNATURES>;

let symbols: Libc | undefined;
let errnoCell: Int32Array | undefined;

/** The C library, opened at the first call. */
export function libc(): Libc {
  return symbols ??= ffi.open("libc.so.6", SIGNATURES);
}

/** This thread's `errno`. Read it at once after the call that set it. */
export function errno(): number {
  errnoCell ??= new Int32Array(ffi.view(libc().__errno_location()!, 4));
  return errnoCell[0]!;
}

/** The C library's words for an error number. */
export function strerror(error: number): string {
  return ffi.string(libc().strerror(error)!);
}

/** A C function of the libraries that are already loaded for all to see, by name. */
export function functionPointer(name: string): Pointer {
  const pointer = libc().dlsym(null, cstring(name));
  if (pointer === null) throw new Error(`the C library has no ${name}`);
  return pointer;
}

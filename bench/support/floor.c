/*
 * The floor of the benches: the very session that Coload runs, in loops that never leave C. (Another session of the same
 * model and options can be some percent faster or slower, by where its weights happen to lie.)
 * OrtApi is a table of function pointers, so each function is known by its place in it.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { API_VERSION = 22, MOST = 8 };
enum {
  GetErrorMessage = 2, Run = 9, CreateTensorWithDataAsOrtValue = 49, IsTensor = 50, CreateCpuMemoryInfo = 69,
  ReleaseValue = 96, RunWithBinding = 133, CreateIoBinding = 134, ReleaseIoBinding = 135, BindInput = 136,
  BindOutput = 137
};
enum { RUN, RUN_WITH_BINDING, RUN_WITH_FRESH_OUTPUTS, STATUS_CALL, NO_OP, LIBC_CALL };

typedef void *(*fn)();
typedef struct {
  const char *names[MOST];
  void *values[MOST];
  size_t count;
} values;
typedef struct {
  fn *api;
  void *memory, *session, *binding;
  values inputs, outputs;
  char error[512];
} floor_session;

uint64_t floor_no_op(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  return 0;
}

static uint64_t (*volatile no_op)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                  uint64_t) = floor_no_op;

static int failed(floor_session *s, void *status) {
  if (status) snprintf(s->error, sizeof s->error, "%s", (const char *)s->api[GetErrorMessage](status));
  return status != NULL;
}

/* The last failure's words; empty if there was none. */
const char *floor_error(floor_session *s) { return s->error; }

/* Runs `session`, an OrtSession of the open library whose OrtGetApiBase this is. */
floor_session *floor_open(fn get_base, void *session) {
  floor_session *s = calloc(1, sizeof *s);
  struct { fn get_api; } *base = get_base();
  s->api = base->get_api(API_VERSION);
  s->session = session;
  if (!s->api) snprintf(s->error, sizeof s->error, "this onnxruntime has no API %d", API_VERSION);
  else if (!failed(s, s->api[CreateCpuMemoryInfo](0, 0, &s->memory)))
    failed(s, s->api[CreateIoBinding](session, &s->binding));
  return s;
}

/* Lets go of the session, which is its owner's. */
void floor_close(floor_session *s) {
  s->api[ReleaseIoBinding](s->binding);
  for (size_t i = 0; i < s->inputs.count; i++) s->api[ReleaseValue](s->inputs.values[i]);
  for (size_t i = 0; i < s->outputs.count; i++) s->api[ReleaseValue](s->outputs.values[i]);
  free(s);
}

/* Gives the session an input or an output with a copy of `data`, `length` bytes. */
void floor_tensor(floor_session *s, int output, const char *name, int type, const int64_t *dims, size_t rank,
                  const void *data, size_t length) {
  values *to = output ? &s->outputs : &s->inputs;
  void *bytes = aligned_alloc(64, (length + 63) / 64 * 64);
  memcpy(bytes, data, length);
  if (failed(s, s->api[CreateTensorWithDataAsOrtValue](s->memory, bytes, length, dims, rank, type,
                                                       &to->values[to->count])))
    return;
  to->names[to->count] = strdup(name);
  failed(s, s->api[output ? BindOutput : BindInput](s->binding, name, to->values[to->count]));
  to->count++;
}

static inline void *once(floor_session *s, int how) {
  void *fresh[MOST] = {0}, *status;
  int is;
  pthread_mutexattr_t attributes;
  switch (how) {
    case RUN:
      return s->api[Run](s->session, NULL, s->inputs.names, s->inputs.values, s->inputs.count, s->outputs.names,
                         s->outputs.count, s->outputs.values);
    case RUN_WITH_BINDING:
      return s->api[RunWithBinding](s->session, NULL, s->binding);
    case RUN_WITH_FRESH_OUTPUTS:
      status = s->api[Run](s->session, NULL, s->inputs.names, s->inputs.values, s->inputs.count, s->outputs.names,
                           s->outputs.count, fresh);
      for (size_t i = 0; i < s->outputs.count; i++) s->api[ReleaseValue](fresh[i]);
      return status;
    case STATUS_CALL:
      return s->api[IsTensor](s->inputs.values[0], &is);
    case LIBC_CALL:
      return pthread_mutexattr_init(&attributes), NULL;
    default:
      return no_op(0, 1, 2, 3, 4, 5, 6, 7), NULL;
  }
}

/* Calls in groups, and writes what one call of each group took, in ns. */
void floor_measure(floor_session *s, int how, size_t groups, size_t calls, double *ns) {
  struct timespec from, to;
  for (size_t g = 0; g < groups; g++) {
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (size_t i = 0; i < calls; i++)
      if (failed(s, once(s, how))) return;
    clock_gettime(CLOCK_MONOTONIC, &to);
    ns[g] = ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / calls;
  }
}

// Drives the pool's machine code without JavaScript: 2 threads, 128,000 requests, every other one watched.
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

extern void *start(void *lane);
extern ssize_t submit(void *request, void *lane);
extern void leave(int status, void *lane);

struct lane {
  void *read, *write;
  int32_t readable, exiting, running, pad;
  void *exit;
  int32_t writable, threads;
  char unused[16];
  uint32_t looks, lookers;
  void *handed;
  char rest[48];
};

struct request {
  void *function;
  uint64_t a[8], result;
  int32_t mailbox, state;
  uint32_t submitted, finished, watch, rest[7];
};

enum { ROUNDS = 2000, REQUESTS = 64 };

static uint64_t weigh(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}

int main(void) {
  static struct lane lane __attribute__((aligned(64)));
  static struct request requests[REQUESTS] __attribute__((aligned(64)));
  static int told[REQUESTS];
  int queue[2], mailbox[2];
  if (sizeof(struct lane) != 128 || sizeof(struct request) != 128) return 1;
  if (pipe(queue) || socketpair(AF_UNIX, SOCK_STREAM, 0, mailbox)) return 2;
  lane = (struct lane){.read = read, .write = write, .readable = queue[0], .exit = _exit, .writable = queue[1], .looks = 1000};
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    if (pthread_create(&thread, 0, start, &lane)) return 3;
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int k = 0; k < REQUESTS; k++) {
      struct request *r = &requests[k];
      if (round % 8 == 7) sched_yield(); // so that some are handed over to a thread that looks
      r->function = weigh;
      r->mailbox = mailbox[1];
      for (int j = 0; j < 8; j++) r->a[j] = round + k + j;
      __atomic_store_n(&r->watch, k & 1, __ATOMIC_SEQ_CST);
      if (submit(r, &lane) != 8) return 4;
    }
    for (int k = 0; k < REQUESTS; k += 2) {
      struct request *done;
      if (read(mailbox[0], &done, 8) != 8) return 5;
      if (told[done - requests]++ != round || (done - requests) % 2) return 7; // each unwatched one, once a round
    }
    for (int k = 0; k < REQUESTS; k++) {
      struct request *r = &requests[k];
      while (__atomic_load_n(&r->watch, __ATOMIC_SEQ_CST) != 2) {}
      while (__atomic_load_n(&r->submitted, __ATOMIC_SEQ_CST) != __atomic_load_n(&r->finished, __ATOMIC_SEQ_CST)) {}
      uint64_t wanted = 0;
      for (int j = 0; j < 8; j++) wanted += (j + 1) * (uint64_t)(round + k + j);
      if (r->result != wanted || r->state != 3) return 6;
    }
  }
  while (__atomic_load_n(&lane.running, __ATOMIC_SEQ_CST)) {}
  leave(0, &lane);
  uint32_t submitted = 0;
  for (int k = 0; k < REQUESTS; k++) submitted += requests[k].submitted;
  printf("%u submitted, %s left, exiting %d\n", submitted, lane.handed ? "one" : "none", lane.exiting);
  return 0;
}

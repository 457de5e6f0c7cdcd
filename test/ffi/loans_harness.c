// Drives the loans' machine code without JavaScript: 2 threads give back 60,000 loans in three ways, while one collects.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

extern void returned_unversioned(void *), returned_versioned(void *), capsule_gone(void *), with_gil(void *, void *);

struct owner {
  char before[72];
  int32_t mailbox;
  char between[48];
  uint32_t woken;
  char zero[16];
  uint32_t loans, pad;
  struct loan *returned;
};

struct loan {
  struct loan *next;
  struct owner *owner;
  char rest[48];
  char managed[80];
};

enum { EACH = 10000, COPIED = 2048, SLOTS = 65536 };

static struct owner owner __attribute__((aligned(64)));
static struct loan loans[2][3][EACH];
static char *page;
static int held, locked;

static void *get_pointer(void *capsule, const char *name) { return name ? 0 : *(void **)capsule; }
static int ensure(void) { return __atomic_add_fetch(&held, 1, __ATOMIC_SEQ_CST) ? 7 : 0; }
static void release(int state) { if (state == 7) __atomic_sub_fetch(&held, 1, __ATOMIC_SEQ_CST); }
static void count(void *at) { if (held) __atomic_add_fetch((int *)at, 1, __ATOMIC_SEQ_CST); }

// The code where it was copied to, beside its slots.
static void *copied(void *function) { return page + ((char *)function - (char *)returned_unversioned); }

static void *give_back(void *of) {
  struct loan(*mine)[EACH] = of;
  for (int i = 0; i < EACH; i++) {
    struct loan *capsule = &mine[2][i];
    ((void (*)(void *))copied(returned_unversioned))(mine[0][i].managed);
    ((void (*)(void *))copied(returned_versioned))(mine[1][i].managed);
    ((void (*)(void *))copied(capsule_gone))(&capsule);
    ((void (*)(void *, void *))copied(with_gil))(&locked, count);
  }
  return 0;
}

int main(void) {
  int mailbox[2];
  if (sizeof(struct owner) != 160 || socketpair(AF_UNIX, SOCK_STREAM, 0, mailbox)) return 1;
  page = mmap(0, 2 * SLOTS, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(page, returned_unversioned, COPIED);
  void *slots[] = {send, get_pointer, ensure, release};
  memcpy(page + SLOTS, slots, sizeof slots);
  __builtin___clear_cache(page, page + COPIED);
  owner.mailbox = mailbox[1];
  owner.loans = 6 * EACH;
  for (int t = 0; t < 2; t++) {
    for (int way = 0; way < 3; way++) {
      for (int i = 0; i < EACH; i++) {
        struct loan *loan = &loans[t][way][i];
        loan->owner = &owner;
        memcpy(loan->managed + (way == 0 ? 48 : 8), &loan, sizeof loan);
      }
    }
  }
  pthread_t threads[2];
  for (int t = 0; t < 2; t++) {
    if (pthread_create(&threads[t], 0, give_back, loans[t])) return 2;
  }
  int back = 0;
  while (back < 6 * EACH) {
    for (struct loan *at = __atomic_exchange_n(&owner.returned, 0, __ATOMIC_SEQ_CST); at; at = at->next) back++;
  }
  for (int t = 0; t < 2; t++) pthread_join(threads[t], 0);
  char message[8];
  int is_woken = read(mailbox[0], message, 8) == 8 && owner.woken == 1;
  printf("%d back, %u out, %s, %d in the lock\n", back, owner.loans, is_woken ? "woken" : "asleep", locked);
  return 0;
}

// Runs kernel launches on the host: maps an image of device memory at its addresses, loads compiled kernel files, and
// runs each launch block by block, the threads of a block in turns from barrier to barrier.
//   run IMAGE BASE LAUNCHES [descending]
// LAUNCHES: lines "LIBRARY KERNEL gx gy gz bx by bz shared HEX"; the image holds the results afterwards. `descending`
// takes threads and blocks in the opposite order: results that differ depend on timing.
// A thread has a stack of its own for good. It is begun as a context; from then on jumps lead from stack to stack, since
// swapcontext asks the system each time.
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <vector>
#include "device.h"

extern "C" {
Position *position;
unsigned char *dynamicShared;
void barrier();
unsigned exchange(unsigned value, unsigned offset);
void meetOthers(unsigned number, unsigned count);
void yield();
void noInstruction(const char *text);
}

typedef void (*Kernel)(const unsigned char *);
static jmp_buf scheduler;
struct Thread {
  jmp_buf place;
  Position at;
  bool done;
  /** Empty: it has not begun. */
  std::vector<char> stack;
};
static std::vector<Thread> threads;
static Thread *current;
static Kernel kernel;
static const unsigned char *parameters;

/** Barriers passed by the block, and threads that wait at the next. */
static unsigned passed, waiting, blockThreads;
static unsigned words[1024];

/** Threads that wait at a barrier of some of the block, and how often it has let them go. */
struct Meeting {
  unsigned waiting, passed;
  void join(unsigned count) {
    const unsigned before = passed;
    if (++waiting == count) waiting = 0, passed++;
    while (passed == before) yield();
  }
};
static Meeting warps[32], named[16];

void yield() {
  if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}
void barrier() {
  const unsigned before = passed;
  for (waiting++; passed == before;) yield();
}
void meetOthers(unsigned number, unsigned count) { named[number].join(count); }
unsigned exchange(unsigned value, unsigned offset) {
  const unsigned at = current - threads.data(), lanes = blockThreads - at / 32 * 32;
  Meeting &warp = warps[at / 32];
  words[at] = value;
  warp.join(lanes < 32 ? lanes : 32);
  const unsigned other = words[at ^ offset];
  warp.join(lanes < 32 ? lanes : 32);
  return other;
}
void noInstruction(const char *text) {
  fprintf(stderr, "an instruction that a host has not: %s\n", text);
  exit(3);
}
static void body() {
  for (;;) {
    kernel(parameters);
    current->done = true;
    yield();
  }
}

/** Goes on with the current thread until it yields. */
static void go() {
  if (_setjmp(scheduler)) return;
  if (!current->stack.empty()) _longjmp(current->place, 1);
  current->stack.resize(1 << 16);
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = current->stack.data();
  context.uc_stack.ss_size = current->stack.size();
  makecontext(&context, body, 0);
  setcontext(&context);
}

static void runBlock(dim3 block, dim3 blocks, dim3 size, bool descending) {
  const unsigned count = size.x * size.y * size.z;
  if (threads.size() < count) threads.resize(count);
  blockThreads = count;
  for (unsigned i = 0; i < count; i++) {
    Thread &t = threads[i];
    t.done = false;
    t.at = {{i % size.x, i / size.x % size.y, i / size.x / size.y}, block, size, blocks};
  }
  for (unsigned running = count; running > 0;) {
    if (waiting == running) passed++, waiting = 0;
    running = 0;
    for (unsigned i = 0; i < count; i++) {
      current = &threads[descending ? count - 1 - i : i];
      if (current->done) continue;
      position = &current->at;
      go();
      running += !current->done;
    }
  }
}

int main(int argc, char **argv) {
  const bool descending = argc > 4;
  const int file = open(argv[1], O_RDWR);
  struct stat information;
  fstat(file, &information);
  void *base = (void *)strtoull(argv[2], nullptr, 10);
  if (mmap(base, information.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0) != base) return perror("mmap"), 1;
  FILE *list = fopen(argv[3], "r");
  char library[4096], name[256], hex[16384];
  dim3 grid, size;
  unsigned shared;
  while (fscanf(list, "%4095s %255s %u %u %u %u %u %u %u %16383s", library, name, &grid.x, &grid.y, &grid.z, &size.x, &size.y, &size.z,
                &shared, hex) == 10) {
    void *handle = dlopen(library, RTLD_NOW);
    kernel = handle ? (Kernel)dlsym(handle, (std::string("call_") + name).c_str()) : nullptr;
    if (!kernel) return fprintf(stderr, "%s\n", dlerror()), 1;
    std::vector<unsigned char> bytes(strlen(hex) / 2);
    for (size_t i = 0; i < bytes.size(); i++) sscanf(hex + 2 * i, "%2hhx", &bytes[i]);
    parameters = bytes.data();
    std::vector<unsigned char> memory(shared + 1024);
    dynamicShared = (unsigned char *)(((size_t)memory.data() + 1023) / 1024 * 1024);
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; i++) {
      const unsigned b = descending ? blocks - 1 - i : i;
      // What a block finds in shared memory means nothing.
      memset(dynamicShared, 0xff, shared);
      runBlock({b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y}, grid, size, descending);
    }
  }
  return 0;
}

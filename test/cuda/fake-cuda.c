/* The NVIDIA driver and its run-time compiler with two GPUs that compute nothing: memory is the host's, copies are done at
   once, a graph takes 3 ms and nothing else does. For what is called, in which order, and what is left; what must not
   happen (waiting on the thread while a graph runs, two captures at once) is counted. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void *handle;
enum { CONTEXTS, MEMORY, PINNED, STREAMS, EVENTS, GRAPHS, EXECUTABLES, COUNTS };
static int counts[COUNTS], blocked, hanging;
static uint64_t made = 1000;
static int64_t capturing;
static double busy[4096], happens[65536];
static uint64_t written[4096];
static int lines;

/* (what, which, with what) of: 1 a child in a graph, 2 an executable with flags, 3 a launch */
static void write_down(uint64_t what, uint64_t a, uint64_t b) {
  if (lines + 3 > 4096) return;
  written[lines++] = what;
  written[lines++] = a;
  written[lines++] = b;
}
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}
static int make(uint64_t *out, int kind) {
  *out = made++;
  counts[kind]++;
  return 0;
}
static int number_of(handle stream) { return (int)((uintptr_t)stream % 4096); }

/* For tests. */
int fake_left(int kind) { return counts[kind]; }
int fake_blocked(void) { return blocked; }
/* What is recorded from now on does not happen, until it is off again: then all does. */
void fake_hang(int on) {
  hanging = on;
  if (!on) memset(happens, 0, sizeof happens);
}
int fake_written(uint64_t *into) {
  int count = lines;
  memcpy(into, written, (size_t)count * sizeof *into);
  lines = 0;
  return count;
}

int cuInit(unsigned flags) { return (int)flags; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuGetErrorName(int status, const char **text) { return *text = status ? "FAKE" : "NONE", 0; }
int cuGetErrorString(int status, const char **text) { return *text = status ? "a fault" : "none", 0; }
int cuDeviceGetCount(int *count) { return *count = 2, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char *name, int length, int device) {
  return memcpy(name, device ? "second" : "first", (size_t)(length < 7 ? length : 7)), 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = (size_t)(device + 1) << 30, 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 16 ? 132 : attribute == 75 ? 9 : attribute == 97 ? 232448 : 0;
  return 0;
}
int cuDevicePrimaryCtxRetain(uint64_t *context, int device) {
  counts[CONTEXTS]++;
  return *context = 77u + (unsigned)device, 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) { return (void)device, counts[CONTEXTS]--, 0; }
int cuCtxSetCurrent(handle context) { return context ? 0 : 1; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = 0, *greatest = -5, 0; }
int cuMemGetInfo_v2(uint64_t *left, uint64_t *total) { return *left = 1, *total = 2, 0; }

static void *take(size_t bytes) { return aligned_alloc(256, (bytes + 255) / 256 * 256); }
int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
  counts[MEMORY]++;
  return *address = (uint64_t)(uintptr_t)take(bytes), 0;
}
static int any_busy(void) {
  for (int stream = 0; stream < 4096; stream++)
    if (now() < busy[stream]) return 1;
  return 0;
}
int cuMemFree_v2(uint64_t address) {
  blocked += any_busy();
  return free((void *)(uintptr_t)address), counts[MEMORY]--, 0;
}
int cuMemHostAlloc(uint64_t *pointer, size_t bytes, unsigned flags) {
  (void)flags;
  counts[PINNED]++;
  return *pointer = (uint64_t)(uintptr_t)take(bytes), 0;
}
int cuMemFreeHost(handle pointer) {
  blocked += any_busy();
  return free(pointer), counts[PINNED]--, 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, void *from, size_t bytes, handle stream) {
  return (void)stream, memcpy((void *)(uintptr_t)to, from, bytes), 0;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, handle stream) {
  return (void)stream, memcpy(to, (void *)(uintptr_t)from, bytes), 0;
}
int cuMemsetD8Async(uint64_t to, uint8_t value, size_t bytes, handle stream) {
  return (void)stream, memset((void *)(uintptr_t)to, value, bytes), 0;
}
int cuStreamCreateWithPriority(uint64_t *stream, unsigned flags, int priority) {
  (void)flags, (void)priority;
  return make(stream, STREAMS);
}
int cuStreamDestroy_v2(handle stream) { return (void)stream, counts[STREAMS]--, 0; }
int cuStreamSynchronize(handle stream) {
  if (now() < busy[number_of(stream)]) blocked++;
  return 0;
}
int cuStreamBeginCapture_v2(handle stream, int mode) {
  if (capturing || mode != 2) return 1;
  return capturing = (int64_t)(intptr_t)stream, 0;
}
int cuStreamEndCapture(handle stream, uint64_t *graph) {
  if (capturing != (int64_t)(intptr_t)stream) return 1;
  capturing = 0;
  return make(graph, GRAPHS);
}
int cuEventCreate(uint64_t *event, unsigned flags) {
  static uint64_t next = 1;
  (void)flags;
  counts[EVENTS]++;
  happens[next % 65536] = 0;
  return *event = next++, 0;
}
int cuEventDestroy_v2(handle event) { return (void)event, counts[EVENTS]--, 0; }
int cuEventRecord(handle event, handle stream) {
  return happens[(uintptr_t)event % 65536] = hanging ? 1e18 : busy[number_of(stream)], 0;
}
int cuEventQuery(handle event) { return now() < happens[(uintptr_t)event % 65536] ? 600 : 0; }
int cuEventSynchronize(handle event) {
  if (cuEventQuery(event)) blocked++;
  return 0;
}
int cuEventElapsedTime(float *milliseconds, handle start, handle end) {
  return (void)start, (void)end, *milliseconds = 1, 0;
}
int cuModuleLoadData(uint64_t *module, void *image) {
  (void)image;
  blocked += any_busy();
  return *module = made++, 0;
}
int cuModuleUnload(handle module) { return (void)module, 0; }
int cuModuleGetFunction(uint64_t *function, handle module, const char *name) {
  return (void)module, (void)name, *function = made++, 0;
}
/** Dynamic shared memory that kernels are allowed: 48 KiB, or what was set. */
static unsigned allowed_shared[1 << 16];
int cuFuncSetAttribute(handle function, int attribute, int value) {
  if (attribute == 8) allowed_shared[(uintptr_t)function & 0xffff] = (unsigned)value;
  return 0;
}
int cuLaunchKernel(handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, handle stream, void *params, void *extra) {
  (void)function, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz;
  (void)shared, (void)stream, (void)params, (void)extra;
  return 0;
}
int cuGraphCreate(uint64_t *graph, unsigned flags) { return (void)flags, make(graph, GRAPHS); }
int cuGraphAddKernelNode_v2(uint64_t *node, handle graph, void *before, size_t count, void *parameters) {
  (void)graph, (void)before, (void)count;
  // The function, a grid and a block of three each, and then the shared memory.
  const unsigned allowed = allowed_shared[*(uint64_t *)parameters & 0xffff], wanted = ((unsigned *)parameters)[8];
  if (wanted > (allowed ? allowed : 48 * 1024)) return 1;
  return *node = made++, 0;
}
int cuGraphAddChildGraphNode(uint64_t *node, handle graph, uint64_t *before, size_t count, handle child) {
  (void)before;
  write_down(1, (uintptr_t)graph, count);
  return child ? (*node = made++, 0) : 1;
}
int cuGraphInstantiateWithFlags(uint64_t *executable, handle graph, uint64_t flags) {
  (void)graph;
  make(executable, EXECUTABLES);
  write_down(2, *executable, flags);
  return 0;
}
int cuGraphLaunch(handle executable, handle stream) {
  double start = now(), before = busy[number_of(stream)];
  write_down(3, (uintptr_t)executable, (uintptr_t)stream);
  return busy[number_of(stream)] = (before > start ? before : start) + 0.003, 0;
}
int cuGraphDestroy(handle graph) { return (void)graph, counts[GRAPHS]--, 0; }
/* The driver waits here for a graph that was started several times. */
int cuGraphExecDestroy(handle executable) {
  blocked += hanging;
  return (void)executable, counts[EXECUTABLES]--, 0;
}

int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
const char *nvrtcGetErrorString(int status) { return status ? "a fault" : "none"; }
int nvrtcCreateProgram(uint64_t *program, const char *text, const char *name, int headers, void *texts, void *names) {
  (void)name, (void)headers, (void)texts, (void)names;
  /* Products are left out of what has this text. */
  const char *lacking = getenv("FAKE_LACKING");
  return *program = lacking && strstr(text, lacking) ? 6 : 5, 0;
}
int nvrtcDestroyProgram(void *program) { return (void)program, 0; }
int nvrtcCompileProgram(handle program, int count, const char **options) {
  return (void)program, (void)count, (void)options, 0;
}
int nvrtcGetProgramLogSize(handle program, size_t *bytes) { return (void)program, *bytes = 1, 0; }
int nvrtcGetProgramLog(handle program, char *text) { return (void)program, *text = 0, 0; }
int nvrtcGetCUBINSize(handle program, size_t *bytes) { return (void)program, *bytes = 8, 0; }
int nvrtcGetCUBIN(handle program, char *image) {
  return memcpy(image, (uintptr_t)program == 6 ? "\xf0\x79\xff\x3f\0\0\0\0" : "\1\1\1\1\1\1\1\1", 8), 0;
}

/* A library with NCCL's interface and nothing behind it, which writes down what it is asked for: how calls are made,
   without a GPU. Structures as nccl.h of 2.28 has them, and ncclConfig_t read as its library does. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 22809
#endif

typedef struct { char internal[128]; } ncclUniqueId;
typedef struct {
  size_t size;
  unsigned int magic, version;
  int blocking, cgaClusterSize, minCTAs, maxCTAs;
  const char *netName;
  int splitShare, trafficClass;
  const char *commName;
  int collnetEnable, CTAPolicy, shrinkShare, nvlsCTAs, nChannelsPerNetPeer, nvlinkCentricSched;
} ncclConfig_t;

static char written[8192];
static int asked, status_to_come, communicator;

static void write_down(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  size_t used = strlen(written);
  vsnprintf(written + used, sizeof written - used, format, arguments);
  va_end(arguments);
}

/* What was written since the last time. */
const char *fake_written(void) {
  static char taken[sizeof written];
  memcpy(taken, written, sizeof written);
  written[0] = 0;
  return taken;
}
/* The next `polls` questions for the state are answered with "in progress", those after with this. */
void fake_state(int polls, int status) {
  asked = polls;
  status_to_come = status;
}

int ncclGetVersion(int *version) {
  *version = VERSION;
  return 0;
}
const char *ncclGetErrorString(int status) { return status == 6 ? "remote process exited or there was a network error" : "other"; }
const char *ncclGetLastError(void *comm) { return comm ? "Socket closed\n" : ""; }
int ncclGetUniqueId(ncclUniqueId *id) {
  for (int i = 0; i < 128; i++) id->internal[i] = (char)(7 * i + 1);
  return 0;
}
int ncclCommInitRankConfig(void **comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *given) {
  ncclConfig_t config = {0};
  int right = 0;
  config.cgaClusterSize = config.splitShare = INT_MIN;
  size_t size;
  memcpy(&size, given, sizeof size);
  memcpy(&config, given, size < sizeof config ? size : sizeof config);
  if (config.magic != 0xcafebeef) return 4;
  for (int i = 0; i < 128; i++) right += id.internal[i] == (char)(7 * i + 1);
  const char *mixing = getenv("NCCL_GRAPH_MIXING_SUPPORT");
  write_down("init rank %d of %d, %d bytes of the id, blocking %d, size %d, version %u, split %d, mixing %s\n", rank,
             ranks, right, config.blocking, (int)size, config.version, config.splitShare == INT_MIN, mixing ? mixing : "?");
  *comm = &communicator;
  return config.blocking == 0 ? 7 : 0;
}
int ncclCommGetAsyncError(void *comm, int *status) {
  if (comm != &communicator) return 4;
  *status = asked-- > 0 ? 7 : status_to_come;
  return 0;
}
int ncclGroupStart(void) {
  write_down("start\n");
  return 0;
}
int ncclGroupEnd(void) {
  write_down("end\n");
  return 7;
}
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, void *comm, void *stream) {
  write_down("reduce %llx to %llx, %llu, type %d, operation %d, stream %llx%s\n", (unsigned long long)(size_t)from,
             (unsigned long long)(size_t)to, (unsigned long long)count, type, operation,
             (unsigned long long)(size_t)stream, comm == &communicator ? "" : ", of another");
  return from == to && count == 13 ? 4 : 0;
}
int ncclCommDestroy(void *comm) {
  write_down("destroy%s\n", comm == &communicator ? "" : " another");
  return 0;
}
int ncclCommAbort(void *comm) {
  write_down("abort%s\n", comm == &communicator ? "" : " another");
  return 0;
}

#include <string.h>
#include <sys/resource.h>
#include "fanout.h"
#include "idle.h"
#include "queries.h"

static void allow_files(rlim_t wanted) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  if (limit.rlim_max < wanted) limit.rlim_max = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit)) fail("the limit of open files is too low");
}

int main(int count, char **arguments) {
  struct spec spec;
  if (count != 2) fail("load needs one argument, the path of its spec");
  spec_read(&spec, arguments[1]);
  allow_files(spec.connections + 64);
  if (!spec.connections) fail("no connections");
  if (spec.marker.length > 32) fail("the marker is too long");
  if (!strcmp(spec.mode, "fanout")) fanout_run(&spec);
  else if (!strcmp(spec.mode, "queries")) queries_run(&spec);
  else if (!strcmp(spec.mode, "idle")) idle_run(&spec);
  else fail("the mode must be fanout, queries or idle");
  return 0;
}

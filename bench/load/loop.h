#pragma once
#include <stdint.h>
#include <sys/resource.h>

enum { BUFFER = 1 << 18, BATCH = 64 };

/* One epoll with a timer in it that goes off at an exact moment. */
struct loop {
  int epoll;
  int timer;
  int64_t due;
};

void loop_start(struct loop *loop);

/* Sees to it that the loop turns again at this moment at the latest. */
void loop_wake_at(struct loop *loop, int64_t moment);

/* Own CPU seconds so far. */
double cpu_seconds(void);

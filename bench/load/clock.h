#pragma once
#include <stdint.h>
#include <time.h>

enum { NS_PER_MS = 1000000 };

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

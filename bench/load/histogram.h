#pragma once
#include <stdint.h>

/* Durations in nanoseconds, in buckets that are at most 1/32 of their value wide. */
struct histogram {
  uint64_t counts[64 * 32];
  uint64_t total;
  int64_t max;
};

void histogram_add(struct histogram *histogram, int64_t ns);

/* Prints {"count":…,"p50":…,"p90":…,"p99":…,"p999":…,"max":…}, in milliseconds. */
void histogram_print(const struct histogram *histogram);

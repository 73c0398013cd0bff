#include "histogram.h"
#include <stdio.h>

/* Below 32 a bucket is one value; above, each doubling has 32 of them. */
static unsigned bucket_of(uint64_t value) {
  if (value < 32) return (unsigned)value;
  unsigned doubling = 63 - (unsigned)__builtin_clzll(value);
  return (doubling - 4) * 32 + (unsigned)((value >> (doubling - 5)) & 31);
}

static double middle_of(unsigned bucket) {
  if (bucket < 32) return bucket;
  unsigned shift = bucket / 32 - 1;
  return ((double)(32 + bucket % 32) + 0.5) * (double)(1ull << shift);
}

void histogram_add(struct histogram *histogram, int64_t ns) {
  if (ns < 0) ns = 0;
  histogram->counts[bucket_of((uint64_t)ns)]++;
  histogram->total++;
  if (ns > histogram->max) histogram->max = ns;
}

static double quantile(const struct histogram *histogram, double share) {
  uint64_t rank = (uint64_t)(share * (double)histogram->total), seen = 0;
  for (unsigned bucket = 0; bucket < 64 * 32; bucket++) {
    seen += histogram->counts[bucket];
    if (seen > rank) return middle_of(bucket);
  }
  return (double)histogram->max;
}

void histogram_print(const struct histogram *histogram) {
  printf("{\"count\":%llu,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f}",
         (unsigned long long)histogram->total, quantile(histogram, 0.5) / 1e6, quantile(histogram, 0.9) / 1e6,
         quantile(histogram, 0.99) / 1e6, quantile(histogram, 0.999) / 1e6, (double)histogram->max / 1e6);
}

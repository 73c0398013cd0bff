#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "spec.h"

enum { HEAD = 2048 };

/* Where the stream of one connection stands: in an HTTP head, in a WebSocket frame's header, or in what follows them. */
struct answers {
  enum { IN_HTTP_HEAD, IN_FRAME_HEAD, IN_BODY } state;
  unsigned head_length;
  uint64_t left;
  /* The frame is the end of a message, and not a control frame. */
  bool ends, counts;
  /* How much of the needle has been seen last, and whether all of it was. */
  unsigned matched;
  bool found;
  char head[HEAD];
};

/* What is expected of an answer. */
struct expectation {
  bool http;
  struct bytes needle;
  unsigned *fallback;
};

void expectation_start(struct expectation *expectation, const struct spec *spec);

/*
 * Reads on until an answer has ended; true then, with `found`. Moves `at` on. What is left when it returns false is part
 * of an answer that has not ended.
 */
bool answers_next(struct answers *answers, const struct expectation *expected, const char **at, const char *end,
                  bool *found);

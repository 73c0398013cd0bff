#define _GNU_SOURCE
#include "answers.h"
#include <stdlib.h>
#include <string.h>

/* For each length that has matched: how much of it still stands when the next byte is another (Knuth, Morris, Pratt). */
void expectation_start(struct expectation *expected, const struct spec *spec) {
  struct bytes needle = spec->needle;
  *expected = (struct expectation){.http = spec->http, .needle = needle};
  expected->fallback = grow(NULL, (needle.length + 1) * sizeof(unsigned));
  expected->fallback[0] = 0;
  for (unsigned at = 1, matched = 0; at < needle.length; at++) {
    while (matched && needle.at[at] != needle.at[matched]) matched = expected->fallback[matched - 1];
    if (needle.at[at] == needle.at[matched]) matched++;
    expected->fallback[at] = matched;
  }
}

static void look(struct answers *answers, const struct expectation *expected, const char *at, const char *end) {
  struct bytes needle = expected->needle;
  while (!answers->found && at < end) {
    if (!answers->matched && !(at = memchr(at, needle.at[0], (size_t)(end - at)))) return;
    while (answers->matched && *at != needle.at[answers->matched])
      answers->matched = expected->fallback[answers->matched - 1];
    if (*at++ == needle.at[answers->matched]) answers->matched++;
    answers->found = answers->matched == needle.length;
  }
}

static void begin_body(struct answers *answers, const struct expectation *expected, uint64_t length) {
  answers->state = IN_BODY;
  answers->left = length;
  answers->head_length = 0;
  answers->matched = 0;
  answers->found = expected->needle.length == 0;
}

static void end_http_head(struct answers *answers, const struct expectation *expected) {
  answers->head[answers->head_length] = 0;
  const char *length = strcasestr(answers->head, "\r\ncontent-length:");
  answers->ends = answers->counts = expected->http;
  /* An upgrade has no body. */
  begin_body(answers, expected, length ? strtoull(length + 17, NULL, 10) : 0);
}

static void end_frame_head(struct answers *answers, const struct expectation *expected) {
  const unsigned char *head = (const unsigned char *)answers->head;
  uint64_t length = head[1] & 127;
  if (length >= 126) {
    unsigned many = length == 126 ? 2 : 8;
    length = 0;
    for (unsigned at = 0; at < many; at++) length = length << 8 | head[2 + at];
  }
  bool was_found = answers->found, goes_on = (head[0] & 15) == 0;
  answers->counts = (head[0] & 15) < 8;
  answers->ends = head[0] & 128;
  begin_body(answers, expected, length);
  if (goes_on) answers->found |= was_found;
}

static unsigned frame_head_size(const struct answers *answers) {
  if (answers->head_length < 2) return 2;
  unsigned length = (unsigned char)answers->head[1] & 127;
  return length == 127 ? 10 : length == 126 ? 4 : 2;
}

bool answers_next(struct answers *answers, const struct expectation *expected, const char **at, const char *end,
                  bool *found) {
  while (*at < end || (answers->state == IN_BODY && answers->left == 0)) {
    if (answers->state == IN_BODY) {
      uint64_t here = (uint64_t)(end - *at) < answers->left ? (uint64_t)(end - *at) : answers->left;
      if (answers->counts) look(answers, expected, *at, *at + here);
      *at += here;
      answers->left -= here;
      if (answers->left) return false;
      answers->state = expected->http ? IN_HTTP_HEAD : IN_FRAME_HEAD;
      *found = answers->found;
      if (answers->ends && answers->counts) return true;
      continue;
    }
    if (answers->head_length == HEAD - 1) fail("the head of an answer is too long");
    answers->head[answers->head_length++] = *(*at)++;
    unsigned length = answers->head_length;
    if (answers->state == IN_FRAME_HEAD) {
      if (length == frame_head_size(answers)) end_frame_head(answers, expected);
    } else if (length >= 4 && !memcmp(answers->head + length - 4, "\r\n\r\n", 4)) end_http_head(answers, expected);
  }
  return false;
}

#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What to do, as a file of lines "name value". Where the value is bytes, it is their number, and they follow on the next
 * lines: "part 5\nhello\n". A "client" line begins the script of one connection, "message" lines are numbered from 0.
 */

enum { DIGITS = 10 };

struct bytes {
  char *at;
  size_t length;
};

/* A list of bytes, as they come in the file. */
struct list {
  struct bytes *all;
  unsigned count;
};

/* What one connection sends, and which topics it follows, sorted. */
struct script {
  struct list parts;
  unsigned *topics;
  unsigned topic_count;
};

/* One update of one topic; its digits are overwritten wherever they stand. */
struct message {
  struct bytes bytes;
  unsigned *digits;
  unsigned digits_count;
  /* Several writes may become one update. */
  bool conflated;
};

struct spec {
  const char *mode;
  int port;
  unsigned connections;
  /* How many connections may be under way at a time. */
  unsigned opening;
  struct script *scripts;
  unsigned script_count;
  /* Whether topics and questions are chosen at random, or in turn. */
  bool random;
  int64_t warmup_ns, measured_ns, drain_ns;

  int publisher_port;
  struct list greeting;
  struct bytes marker;
  struct message *messages;
  unsigned message_count;
  /* Updates in flight; 0: paced by rate instead. */
  unsigned window;
  double rate;
  /* Publishing waits while more deliveries than this are outstanding. */
  uint64_t most_outstanding;

  unsigned in_flight;
  bool http;
  struct bytes needle;
  /* Stands in the questions where the id goes. */
  struct bytes id;
  struct message *questions;
  unsigned question_count;
};

/* Reads a spec, or ends the program. */
void spec_read(struct spec *spec, const char *path);

/* The script of a connection: those that were given are used in turn. */
const struct script *spec_script(const struct spec *spec, unsigned connection);

/* Ends the program with a line that says why. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *grow(void *memory, size_t bytes);
void write_digits(const struct message *message, char *at, uint64_t number);

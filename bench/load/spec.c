#define _GNU_SOURCE
#include "spec.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"

void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  printf("{\"event\":\"failed\",\"reason\":\"");
  vprintf(format, values);
  printf("\"}\n");
  va_end(values);
  fflush(stdout);
  exit(1);
}

void *grow(void *memory, size_t bytes) {
  void *grown = realloc(memory, bytes);
  if (!grown) fail("out of memory");
  return grown;
}

static struct bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) fail("the spec cannot be opened");
  struct bytes text = {0};
  for (;;) {
    text.at = grow(text.at, text.length + 65536 + 1);
    size_t got = fread(text.at + text.length, 1, 65536, file);
    text.length += got;
    if (got == 0) break;
  }
  fclose(file);
  text.at[text.length] = 0;
  return text;
}

static void append(struct list *list, struct bytes bytes) {
  list->all = grow(list->all, (list->count + 1) * sizeof *list->all);
  list->all[list->count++] = bytes;
}

static struct message *add_message(struct message **all, unsigned *count, struct bytes bytes) {
  *all = grow(*all, (*count + 1) * sizeof **all);
  struct message *message = &(*all)[(*count)++];
  *message = (struct message){.bytes = bytes};
  return message;
}

static int compare(const void *left, const void *right) {
  unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;
  return a < b ? -1 : a > b;
}

static void add_script(struct spec *spec, char *topics) {
  spec->scripts = grow(spec->scripts, (spec->script_count + 1) * sizeof *spec->scripts);
  struct script *script = &spec->scripts[spec->script_count++];
  *script = (struct script){0};
  for (char *word = strtok(topics, " "); word; word = strtok(NULL, " ")) {
    script->topics = grow(script->topics, (script->topic_count + 1) * sizeof *script->topics);
    script->topics[script->topic_count++] = (unsigned)strtoul(word, NULL, 10);
  }
  if (script->topic_count > 1) qsort(script->topics, script->topic_count, sizeof *script->topics, compare);
}

static void find_digits(struct message *message, struct bytes before, size_t skip) {
  char *at = message->bytes.at, *end = at + message->bytes.length;
  while ((at = memmem(at, (size_t)(end - at), before.at, before.length))) {
    char *digits = at + skip;
    if (digits + DIGITS > end) fail("a message ends within its number");
    message->digits = grow(message->digits, (message->digits_count + 1) * sizeof *message->digits);
    message->digits[message->digits_count++] = (unsigned)(digits - message->bytes.at);
    at = digits + DIGITS;
  }
}

void write_digits(const struct message *message, char *at, uint64_t number) {
  char text[DIGITS + 1];
  snprintf(text, sizeof text, "%010llu", (unsigned long long)(number % 10000000000ull));
  for (unsigned place = 0; place < message->digits_count; place++) memcpy(at + message->digits[place], text, DIGITS);
}

const struct script *spec_script(const struct spec *spec, unsigned connection) {
  return &spec->scripts[connection % spec->script_count];
}

/* The bytes that follow a line; `next` goes on behind them. */
static struct bytes take(struct bytes text, char **next, const char *value) {
  size_t length = strtoul(value, NULL, 10);
  struct bytes bytes = {*next, length};
  if (length + 1 > (size_t)(text.at + text.length - *next)) fail("the spec ends too early");
  *next += length + 1;
  return bytes;
}

void spec_read(struct spec *spec, const char *path) {
  struct bytes text = read_file(path);
  *spec = (struct spec){
      .mode = "",
      .opening = 128,
      .drain_ns = 5000ll * NS_PER_MS,
      .marker = {"@#", 2},
      .needle = {"\"success\":true", 14},
      .most_outstanding = UINT64_MAX,
  };
  for (char *line = text.at; line < text.at + text.length;) {
    char *end = strchr(line, '\n');
    if (!end) fail("the spec ends within a line");
    *end = 0;
    char *next = end + 1, *value = strchr(line, ' ');
    if (value) *value++ = 0;
    else value = end;
    double number = strtod(value, NULL);
    if (!strcmp(line, "mode")) spec->mode = value;
    else if (!strcmp(line, "port")) spec->port = (int)number;
    else if (!strcmp(line, "connections")) spec->connections = (unsigned)number;
    else if (!strcmp(line, "opening")) spec->opening = (unsigned)number;
    else if (!strcmp(line, "client")) add_script(spec, value);
    else if (!strcmp(line, "random")) spec->random = number != 0;
    else if (!strcmp(line, "warmup-ms")) spec->warmup_ns = (int64_t)(number * NS_PER_MS);
    else if (!strcmp(line, "measured-ms")) spec->measured_ns = (int64_t)(number * NS_PER_MS);
    else if (!strcmp(line, "drain-ms")) spec->drain_ns = (int64_t)(number * NS_PER_MS);
    else if (!strcmp(line, "publisher-port")) spec->publisher_port = (int)number;
    else if (!strcmp(line, "greeting")) append(&spec->greeting, take(text, &next, value));
    else if (!strcmp(line, "marker")) spec->marker = take(text, &next, value);
    else if (!strcmp(line, "message")) add_message(&spec->messages, &spec->message_count, take(text, &next, value));
    else if (!strcmp(line, "conflated") && spec->message_count)
      spec->messages[spec->message_count - 1].conflated = true;
    else if (!strcmp(line, "window")) spec->window = (unsigned)number;
    else if (!strcmp(line, "rate")) spec->rate = number;
    else if (!strcmp(line, "most-outstanding")) spec->most_outstanding = (uint64_t)number;
    else if (!strcmp(line, "in-flight")) spec->in_flight = (unsigned)number;
    else if (!strcmp(line, "http")) spec->http = number != 0;
    else if (!strcmp(line, "needle")) spec->needle = take(text, &next, value);
    else if (!strcmp(line, "id")) spec->id = take(text, &next, value);
    else if (!strcmp(line, "question")) add_message(&spec->questions, &spec->question_count, take(text, &next, value));
    else if (!strcmp(line, "part") && spec->script_count)
      append(&spec->scripts[spec->script_count - 1].parts, take(text, &next, value));
    else fail("the spec has an unknown line: %s", line);
    line = next;
  }
  for (unsigned at = 0; at < spec->message_count; at++)
    find_digits(&spec->messages[at], spec->marker, spec->marker.length);
  if (spec->id.length)
    for (unsigned at = 0; at < spec->question_count; at++) find_digits(&spec->questions[at], spec->id, 0);
  if (!spec->script_count) add_script(spec, "");
  for (unsigned at = 0; at < spec->script_count; at++)
    for (unsigned topic = 0; topic < spec->scripts[at].topic_count; topic++)
      if (spec->scripts[at].topics[topic] >= spec->message_count) fail("a client follows a topic without a message");
}

#pragma once
#include "socket.h"
#include "spec.h"

/* The one connection that writes: its answers are read and dropped. */
struct publisher {
  const struct spec *spec;
  struct socket socket;
  unsigned parts_sent;
  bool ready;
  unsigned next;
  uint64_t random;
};

void publisher_start(struct publisher *publisher, const struct spec *spec, int epoll);
void publisher_read(struct publisher *publisher, char *into, size_t room);

/* The next topic: in turn or at random. */
unsigned publisher_choose(struct publisher *publisher);

/* Adds the update of one topic to what is to be written. */
void publisher_add(struct publisher *publisher, unsigned topic, uint64_t number);
void publisher_flush(struct publisher *publisher);

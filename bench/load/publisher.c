#include "publisher.h"
#include <errno.h>
#include <sys/socket.h>

void publisher_start(struct publisher *publisher, const struct spec *spec, int epoll) {
  *publisher = (struct publisher){.spec = spec, .random = 0x9e3779b97f4a7c15ull};
  if (!socket_connect(&publisher->socket, epoll, spec->publisher_port, 0, publisher))
    fail("the publisher cannot connect");
}

static void greet(struct publisher *publisher) {
  const struct list *greeting = &publisher->spec->greeting;
  if (publisher->parts_sent < greeting->count) {
    struct bytes part = greeting->all[publisher->parts_sent++];
    socket_add(&publisher->socket, part.at, part.length);
  } else publisher->ready = true;
}

static void flush(struct publisher *publisher) {
  if (!socket_flush(&publisher->socket, publisher)) fail("the publisher lost its connection");
}

void publisher_read(struct publisher *publisher, char *into, size_t room) {
  if (publisher->parts_sent == 0 && !publisher->ready) greet(publisher);
  ssize_t got = recv(publisher->socket.fd, into, room, 0);
  if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the publisher lost its connection");
  if (got > 0 && !publisher->ready) greet(publisher);
  flush(publisher);
}

unsigned publisher_choose(struct publisher *publisher) {
  if (!publisher->spec->random) return publisher->next++ % publisher->spec->message_count;
  publisher->random ^= publisher->random << 13;
  publisher->random ^= publisher->random >> 7;
  publisher->random ^= publisher->random << 17;
  return (unsigned)((publisher->random >> 32) % publisher->spec->message_count);
}

void publisher_add(struct publisher *publisher, unsigned topic, uint64_t number) {
  const struct message *message = &publisher->spec->messages[topic];
  write_digits(message, socket_add(&publisher->socket, message->bytes.at, message->bytes.length), number);
}

void publisher_flush(struct publisher *publisher) {
  /* Before it is connected, to have nothing to write must not end the waiting for that. */
  if (publisher->ready) flush(publisher);
}

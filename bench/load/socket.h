#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A non-blocking TCP socket in an epoll, with what it has not taken yet. */
struct socket {
  int fd;
  int epoll;
  char *waiting;
  size_t length, room;
  bool wants_out;
};

/* Begins to connect to 127.0.0.1; `source` chooses among the addresses of the loopback. False: it failed at once. */
bool socket_connect(struct socket *socket, int epoll, int port, unsigned source, void *owner);

/* Adds bytes to what waits and returns where they stand. */
char *socket_add(struct socket *socket, const char *bytes, size_t length);

/* Writes what waits. False: the connection is lost. */
bool socket_flush(struct socket *socket, void *owner);

/* Ends it without leaving a port in TIME_WAIT. */
void socket_reset(struct socket *socket);

#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "socket.h"
#include "spec.h"

enum state { CLOSED, CONNECTING, OPENING, OPEN, ANSWERED, LOST };

/* One connection. OPEN: it has sent all its parts. ANSWERED: something came after the last of them. */
struct client {
  struct socket socket;
  unsigned index;
  unsigned parts_sent;
  enum state state;
};

/* All connections, and how far they are. */
struct clients {
  const struct spec *spec;
  int epoll;
  struct client *all;
  unsigned count;
  unsigned at_once;
  unsigned under_way;
  unsigned next;
  unsigned open;
  unsigned answered;
  /* Attempts that failed, each of which was made again. */
  unsigned failed;
  /* Connections that were open and are lost. */
  unsigned lost;
  unsigned closed;
  int64_t retry_at;
  int64_t pong_at;
  unsigned pong_next;
};

void clients_start(struct clients *clients, const struct spec *spec, int epoll);

/* Opens as many as may be under way, tries again what failed, and gives signs of life. Returns when to call again. */
int64_t clients_tick(struct clients *clients, int64_t now);

/* Attends to one connection. Returns how many bytes it has read into `into`; the greeting's answers are among them. */
size_t clients_read(struct clients *clients, struct client *client, uint32_t events, char *into, size_t room);

/* Ends all connections and begins anew, with so many under way at a time. */
void clients_reopen(struct clients *clients, unsigned at_once);
void clients_lose(struct clients *clients, struct client *client);

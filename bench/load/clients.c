#include "clients.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "clock.h"

/* A server may cut off who is silent. That a pong may come unasked saves us from reading headers. */
static const char pong[] = {(char)0x8a, (char)0x80, 0, 0, 0, 0};
enum { PONG_EVERY_MS = 10000, PONG_STEPS = 100, RETRY_AFTER_MS = 50 };

static const struct script *script_of(const struct clients *clients, const struct client *client) {
  return spec_script(clients->spec, client->index);
}

void clients_start(struct clients *clients, const struct spec *spec, int epoll) {
  *clients = (struct clients){.spec = spec, .epoll = epoll, .count = spec->connections, .at_once = spec->opening};
  clients->all = grow(NULL, clients->count * sizeof *clients->all);
  memset(clients->all, 0, clients->count * sizeof *clients->all);
  for (unsigned at = 0; at < clients->count; at++) {
    clients->all[at].index = at;
    clients->all[at].socket.fd = -1;
  }
}

static void close_again(struct clients *clients, struct client *client) {
  if (client->state == CONNECTING || client->state == OPENING) clients->under_way--;
  socket_reset(&client->socket);
  client->state = CLOSED;
  clients->failed++;
  clients->closed++;
  if (clients->failed > 10 * clients->count + 1000) fail("the server refuses connections");
  if (!clients->retry_at) clients->retry_at = now_ns() + RETRY_AFTER_MS * NS_PER_MS;
}

void clients_lose(struct clients *clients, struct client *client) {
  if (client->state == LOST) return;
  if (client->state != OPEN && client->state != ANSWERED) {
    close_again(clients, client);
    return;
  }
  socket_reset(&client->socket);
  client->state = LOST;
  clients->lost++;
}

static void open_one(struct clients *clients, struct client *client) {
  client->parts_sent = 0;
  client->state = CONNECTING;
  clients->under_way++;
  if (!socket_connect(&client->socket, clients->epoll, clients->spec->port, client->index, client))
    close_again(clients, client);
}

int64_t clients_tick(struct clients *clients, int64_t now) {
  while (clients->next < clients->count && clients->under_way < clients->at_once)
    open_one(clients, &clients->all[clients->next++]);
  if (clients->retry_at && now >= clients->retry_at) {
    clients->retry_at = 0;
    for (unsigned at = 0; at < clients->next && clients->closed; at++) {
      if (clients->all[at].state != CLOSED) continue;
      clients->closed--;
      open_one(clients, &clients->all[at]);
    }
  }
  if (!clients->pong_at) clients->pong_at = now + PONG_EVERY_MS * (int64_t)NS_PER_MS;
  if (now >= clients->pong_at && !clients->spec->http) {
    clients->pong_at += PONG_EVERY_MS / PONG_STEPS * NS_PER_MS;
    unsigned step = clients->count / PONG_STEPS + 1;
    for (unsigned many = 0; many < step; many++) {
      struct client *client = &clients->all[clients->pong_next++ % clients->count];
      if (client->state != OPEN && client->state != ANSWERED) continue;
      socket_add(&client->socket, pong, sizeof pong);
      if (!socket_flush(&client->socket, client)) clients_lose(clients, client);
    }
  }
  return clients->retry_at && clients->retry_at < clients->pong_at ? clients->retry_at : clients->pong_at;
}

static void opened(struct clients *clients, struct client *client) {
  client->state = OPEN;
  clients->under_way--;
  clients->open++;
}

/* Sends the next part, if there is one; where the upgrade is the only one, its answer is waited for. */
static void send_part(struct clients *clients, struct client *client) {
  const struct script *script = script_of(clients, client);
  if (client->parts_sent < script->parts.count) {
    struct bytes part = script->parts.all[client->parts_sent++];
    socket_add(&client->socket, part.at, part.length);
    if (client->parts_sent < script->parts.count || script->parts.count == 1) return;
  }
  if (client->state == OPENING) opened(clients, client);
}

static bool is_refused(const struct script *script, const char *answer, size_t length) {
  bool asks = script->parts.all[0].length > 4 && !memcmp(script->parts.all[0].at, "GET ", 4);
  return asks && (length < 12 || memcmp(answer, "HTTP/1.1 101", 12));
}

size_t clients_read(struct clients *clients, struct client *client, uint32_t events, char *into, size_t room) {
  if (client->state == CLOSED || client->state == LOST) return 0;
  if (client->state == CONNECTING) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client->socket.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error || (events & (EPOLLERR | EPOLLHUP))) {
      clients_lose(clients, client);
      return 0;
    }
    client->state = OPENING;
    send_part(clients, client);
  }
  size_t length = 0;
  if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
    ssize_t got = recv(client->socket.fd, into, room, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
      clients_lose(clients, client);
      return 0;
    }
    length = got > 0 ? (size_t)got : 0;
    if (length && (client->state == OPENING || client->state == OPEN)) {
      const struct script *script = script_of(clients, client);
      if (client->state == OPENING && client->parts_sent == 1 && is_refused(script, into, length)) {
        clients_lose(clients, client);
        return 0;
      }
      bool was_last = client->parts_sent == script->parts.count;
      if (client->state == OPENING) send_part(clients, client);
      if (was_last) {
        client->state = ANSWERED;
        clients->answered++;
      }
    }
  }
  if (client->socket.wants_out || client->socket.length)
    if (!socket_flush(&client->socket, client)) {
      clients_lose(clients, client);
      return 0;
    }
  return length;
}

void clients_reopen(struct clients *clients, unsigned at_once) {
  for (unsigned at = 0; at < clients->count; at++) {
    socket_reset(&clients->all[at].socket);
    clients->all[at].state = CLOSED;
  }
  clients->at_once = at_once;
  clients->under_way = clients->next = clients->open = clients->answered = 0;
  clients->failed = clients->lost = clients->closed = 0;
  clients->retry_at = 0;
}

#include "idle.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "clients.h"
#include "clock.h"
#include "loop.h"

/* Returns false where stdin has ended. */
static bool obey(struct clients *clients) {
  char line[64];
  ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
  if (length <= 0) return false;
  line[length] = 0;
  if (!strncmp(line, "storm", 5)) {
    unsigned at_once = (unsigned)strtoul(line + 5, NULL, 10);
    clients_reopen(clients, at_once ? at_once : clients->count);
  }
  return true;
}

void idle_run(const struct spec *spec) {
  static char dropped[BUFFER];
  static int input;
  struct clients clients;
  struct loop loop;
  loop_start(&loop);
  struct epoll_event watched = {.events = EPOLLIN, .data.ptr = &input};
  if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &watched)) fail("stdin must be a pipe");
  clients_start(&clients, spec, loop.epoll);
  int64_t began = now_ns();
  double cpu = cpu_seconds();
  unsigned lost = 0;
  for (bool told = false;;) {
    int64_t now = now_ns();
    loop_wake_at(&loop, clients_tick(&clients, now));
    if (!told && clients.answered == clients.count) {
      told = true;
      double seconds = (double)(now - began) / 1e9;
      printf("{\"event\":\"open\",\"connections\":%u,\"failed\":%u,\"seconds\":%.4f,\"cpuShare\":%.4f}\n", clients.count,
             clients.failed, seconds, (cpu_seconds() - cpu) / seconds);
      fflush(stdout);
    }
    if (clients.lost != lost) {
      lost = clients.lost;
      printf("{\"event\":\"lost\",\"connections\":%u}\n", lost);
      fflush(stdout);
    }
    struct epoll_event events[BATCH];
    int count = epoll_wait(loop.epoll, events, BATCH, -1);
    bool reopened = false;
    for (int at = 0; at < count && !reopened; at++) {
      void *owner = events[at].data.ptr;
      if (!owner) loop.due = 0;
      else if (owner != &input) clients_read(&clients, owner, events[at].events, dropped, BUFFER);
      else {
        began = now_ns();
        cpu = cpu_seconds();
        if (!obey(&clients)) return;
        /* The other events may be of connections that are gone. */
        reopened = true;
        told = false;
        lost = 0;
      }
    }
  }
}

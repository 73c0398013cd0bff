#include "loop.h"
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include "spec.h"

void loop_start(struct loop *loop) {
  loop->epoll = epoll_create1(EPOLL_CLOEXEC);
  loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  loop->due = 0;
  /* It need not be read where it tells only changes. */
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
  if (loop->epoll < 0 || loop->timer < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer, &event))
    fail("no epoll");
}

void loop_wake_at(struct loop *loop, int64_t moment) {
  if (moment == loop->due) return;
  loop->due = moment;
  if (moment < 1) moment = 1;
  struct itimerspec time = {.it_value = {moment / 1000000000, moment % 1000000000}};
  timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &time, NULL);
}

double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

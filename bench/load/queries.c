#include "queries.h"
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include "answers.h"
#include "clients.h"
#include "clock.h"
#include "histogram.h"
#include "loop.h"
#include "publisher.h"
#include "say.h"

/* What comes unasked in the beginning, such as a greeting, must not be taken for an answer. */
enum { SETTLE_MS = 300, PATIENCE_MS = 60000 };
static const uint64_t first_id = 1000000000;

enum phase { GETTING_READY, SETTLING, WARMING_UP, MEASURING, DRAINING, DONE };

/* One connection: when the questions that wait for their answers were asked, oldest first, in a ring. */
struct asker {
  struct answers answers;
  int64_t *asked;
  unsigned oldest, waiting;
};

static struct {
  const struct spec *spec;
  struct loop loop;
  struct clients clients;
  struct publisher writer;
  struct expectation expected;
  struct asker *askers;
  uint64_t ids, writes, next, random;
  uint64_t answered, measured, wrong, unasked, bytes;
  enum phase phase;
  int64_t started, opened, phase_ends, began, ended, writing, due;
  double cpu_began, cpu_ended;
  struct histogram latency, lateness;
} run;

static void prepare(void) {
  const struct spec *spec = run.spec;
  run.random = 0x9e3779b97f4a7c15ull;
  expectation_start(&run.expected, spec);
  run.askers = grow(NULL, spec->connections * sizeof *run.askers);
  memset(run.askers, 0, spec->connections * sizeof *run.askers);
  for (unsigned at = 0; at < spec->connections; at++)
    run.askers[at].asked = grow(NULL, spec->in_flight * sizeof(int64_t));
  if (!spec->question_count || !spec->in_flight) fail("there are no questions");
}

static const struct message *choose(void) {
  const struct spec *spec = run.spec;
  if (!spec->random) return &spec->questions[run.next++ % spec->question_count];
  run.random ^= run.random << 13;
  run.random ^= run.random >> 7;
  run.random ^= run.random << 17;
  return &spec->questions[(run.random >> 32) % spec->question_count];
}

static void ask(struct client *client, struct asker *asker, int64_t now) {
  const struct message *question = choose();
  write_digits(question, socket_add(&client->socket, question->bytes.at, question->bytes.length), first_id + run.ids++);
  asker->asked[(asker->oldest + asker->waiting++) % run.spec->in_flight] = now;
}

static void flush(struct client *client) {
  if (!socket_flush(&client->socket, client)) clients_lose(&run.clients, client);
}

static void answered(struct asker *asker, bool right, int64_t now) {
  if (!asker->waiting) {
    run.unasked += run.phase > SETTLING;
    return;
  }
  int64_t asked = asker->asked[asker->oldest];
  asker->oldest = (asker->oldest + 1) % run.spec->in_flight;
  asker->waiting--;
  run.answered++;
  run.wrong += !right;
  if (run.phase != MEASURING) return;
  run.measured++;
  histogram_add(&run.latency, now - asked);
}

static void attend(struct client *client, uint32_t events) {
  static char buffer[BUFFER];
  size_t length = clients_read(&run.clients, client, events, buffer, BUFFER);
  if (!length) return;
  if (run.phase == MEASURING) run.bytes += length;
  struct asker *asker = &run.askers[client->index];
  int64_t now = now_ns();
  const char *at = buffer;
  bool right;
  while (answers_next(&asker->answers, &run.expected, &at, buffer + length, &right)) answered(asker, right, now);
  if (run.phase != WARMING_UP && run.phase != MEASURING) return;
  while (asker->waiting < run.spec->in_flight) ask(client, asker, now);
  flush(client);
}

static void ask_all(int64_t now) {
  for (unsigned at = 0; at < run.clients.count; at++) {
    struct client *client = &run.clients.all[at];
    if (client->state == LOST) continue;
    while (run.askers[at].waiting < run.spec->in_flight) ask(client, &run.askers[at], now);
    flush(client);
  }
}

static int64_t write_due(int64_t now) {
  if (!run.spec->rate) return INT64_MAX;
  while (run.due <= now) {
    if (run.phase == MEASURING) histogram_add(&run.lateness, now - run.due);
    publisher_add(&run.writer, publisher_choose(&run.writer), ++run.writes);
    run.due = run.writing + (int64_t)((double)run.writes * 1e9 / run.spec->rate);
  }
  publisher_flush(&run.writer);
  /* Many writes a second leave together once in a millisecond, as they would from a busy writer. */
  return run.due > now + NS_PER_MS ? run.due : now + NS_PER_MS;
}

static uint64_t unanswered(void) {
  uint64_t sum = 0;
  for (unsigned at = 0; at < run.clients.count; at++) sum += run.askers[at].waiting;
  return sum;
}

static void report(void) {
  double seconds = (double)(run.ended - run.began) / 1e9, cpu = run.cpu_ended - run.cpu_began;
  printf("{\"event\":\"result\",\"connections\":%u,\"connectSeconds\":%.4f,\"failedAttempts\":%u,\"disconnected\":%u,",
         run.clients.count, (double)(run.opened - run.started) / 1e9, run.clients.failed, run.clients.lost);
  printf("\"seconds\":%.6f,\"requests\":%llu,\"bytes\":%llu,\"allRequests\":%llu,\"wrong\":%llu,\"unanswered\":%llu,",
         seconds, (unsigned long long)run.measured, (unsigned long long)run.bytes, (unsigned long long)run.answered,
         (unsigned long long)run.wrong, (unsigned long long)unanswered());
  printf("\"unasked\":%llu,\"writes\":%llu,\"cpuSeconds\":%.4f,\"cpuShare\":%.4f,\"latency\":",
         (unsigned long long)run.unasked, (unsigned long long)run.writes, cpu, cpu / seconds);
  histogram_print(&run.latency);
  printf(",\"lateness\":");
  histogram_print(&run.lateness);
  printf("}\n");
  fflush(stdout);
}

static bool is_open(void) {
  const struct clients *clients = &run.clients;
  bool greets = run.spec->scripts[0].parts.count > 0;
  return (greets ? clients->answered : clients->open) == clients->count && (!run.spec->rate || run.writer.ready);
}

/* Goes on to the next phase where it is time, and returns when there is something to do again. */
static int64_t tick(int64_t now) {
  const struct spec *spec = run.spec;
  if (run.phase == GETTING_READY) {
    if (now > run.started + PATIENCE_MS * (int64_t)NS_PER_MS) fail("after a minute not all connections are open");
    if (!is_open()) return run.started + PATIENCE_MS * (int64_t)NS_PER_MS + 1;
    run.opened = now;
    run.phase = SETTLING;
    run.phase_ends = now + SETTLE_MS * NS_PER_MS;
  }
  if (now >= run.phase_ends) switch (run.phase) {
      case SETTLING:
        say("ready");
        run.phase = WARMING_UP;
        run.phase_ends = now + spec->warmup_ns;
        run.writing = run.due = now;
        ask_all(now);
        break;
      case WARMING_UP:
        run.phase = MEASURING;
        run.phase_ends = now + spec->measured_ns;
        run.began = now;
        run.cpu_began = cpu_seconds();
        say("begin");
        break;
      case MEASURING:
        run.phase = DRAINING;
        run.ended = now;
        run.phase_ends = now + spec->drain_ns;
        run.cpu_ended = cpu_seconds();
        say("end");
        break;
      default:
        run.phase = DONE;
    }
  if (run.phase == WARMING_UP || run.phase == MEASURING) {
    int64_t due = write_due(now);
    return due < run.phase_ends ? due : run.phase_ends;
  }
  if (run.phase == DRAINING) {
    if (unanswered() == 0) run.phase = DONE;
    return now + NS_PER_MS;
  }
  return run.phase_ends;
}

void queries_run(const struct spec *spec) {
  static char dropped[BUFFER];
  run.spec = spec;
  prepare();
  loop_start(&run.loop);
  run.started = now_ns();
  clients_start(&run.clients, spec, run.loop.epoll);
  if (spec->rate) publisher_start(&run.writer, spec, run.loop.epoll);
  while (run.phase != DONE) {
    int64_t now = now_ns(), opening = clients_tick(&run.clients, now), next = tick(now);
    loop_wake_at(&run.loop, opening < next ? opening : next);
    struct epoll_event events[BATCH];
    int count = epoll_wait(run.loop.epoll, events, BATCH, -1);
    for (int at = 0; at < count; at++) {
      void *owner = events[at].data.ptr;
      if (!owner) run.loop.due = 0;
      else if (owner == &run.writer) publisher_read(&run.writer, dropped, BUFFER);
      else attend(owner, events[at].events);
    }
  }
  report();
}

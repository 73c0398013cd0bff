#include "fanout.h"
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include "clients.h"
#include "clock.h"
#include "histogram.h"
#include "loop.h"
#include "publisher.h"
#include "say.h"

enum { CARRY = 64, CHECK_MS = 50, LONGEST_CHECK_MS = 1000, PATIENCE_MS = 60000, FIRST_AT_ONCE = 5000 };

/*
 * Number 0 is nobody's: a value that was there before. 1 … messages: the first of each topic, published until every
 * follower has it, which is how readiness is known. From there on the updates that count.
 */
enum phase { GETTING_READY, SETTLING, WARMING_UP, MEASURING, DRAINING, DONE };

struct update {
  int64_t sent;
  uint32_t left, topic, ordinal;
  bool measured;
};

struct topic {
  uint32_t audience, unready, published;
};

/* One connection's place at one topic: the last it saw of it, and how many before that it did not. */
struct place {
  uint32_t last, missing;
  bool ready;
};

/* One connection: its places, and the beginning of a marker at the end of the last read. */
struct follower {
  struct place *places;
  unsigned carried;
  char carry[CARRY];
};

static struct {
  const struct spec *spec;
  struct loop loop;
  struct clients clients;
  struct publisher publisher;
  struct follower *followers;
  struct topic *topics;
  struct update *updates;
  uint64_t update_count, update_room;
  uint64_t unready, seen_at_check;
  unsigned next_first;
  uint64_t in_flight;
  uint64_t outstanding;
  uint64_t wanted, deliveries, duplicates, disorder, strays;
  uint64_t published_measured, deliveries_measured, bytes_measured;
  bool overloaded, conflates;
  enum phase phase;
  int64_t started, opened, phase_ends, check_at, check_ms, heard, due, began, ended;
  uint64_t paced;
  double cpu_began, cpu_ended;
  struct histogram latency, lateness;
} run;

static void prepare(void) {
  const struct spec *spec = run.spec;
  run.topics = grow(NULL, spec->message_count * sizeof *run.topics);
  memset(run.topics, 0, spec->message_count * sizeof *run.topics);
  run.followers = grow(NULL, spec->connections * sizeof *run.followers);
  memset(run.followers, 0, spec->connections * sizeof *run.followers);
  for (unsigned at = 0; at < spec->connections; at++) {
    const struct script *script = spec_script(spec, at);
    size_t size = script->topic_count * sizeof(struct place);
    run.followers[at].places = memset(grow(NULL, size + 1), 0, size);
    run.unready += script->topic_count;
    for (unsigned topic = 0; topic < script->topic_count; topic++) {
      run.topics[script->topics[topic]].audience++;
      run.topics[script->topics[topic]].unready++;
    }
  }
  if (!run.unready) fail("nobody follows anything");
  for (unsigned topic = 0; topic < spec->message_count; topic++) run.conflates |= spec->messages[topic].conflated;
  if (run.conflates && spec->window) fail("streams that conflate cannot be run in a closed loop");
}

static struct place *place_of(const struct client *client, uint32_t topic) {
  const struct script *script = spec_script(run.spec, client->index);
  unsigned low = 0, high = script->topic_count;
  while (low < high) {
    unsigned middle = (low + high) / 2;
    if (script->topics[middle] < topic) low = middle + 1;
    else high = middle;
  }
  return low < script->topic_count && script->topics[low] == topic ? &run.followers[client->index].places[low] : NULL;
}

static void saw_first(struct client *client, uint32_t topic) {
  struct place *place = place_of(client, topic);
  if (!place) run.strays++;
  else if (!place->ready) {
    place->ready = true;
    run.topics[topic].unready--;
    run.unready--;
  }
}

static void saw(struct client *client, uint64_t number, int64_t now) {
  unsigned topics = run.spec->message_count;
  if (number == 0) return;
  if (number <= topics) {
    saw_first(client, (uint32_t)number - 1);
    return;
  }
  if (number - topics > run.update_count) {
    run.strays++;
    return;
  }
  struct update *update = &run.updates[number - topics - 1];
  struct place *place = place_of(client, update->topic);
  if (!place) {
    run.strays++;
    return;
  }
  bool conflated = run.spec->messages[update->topic].conflated;
  if (update->ordinal > place->last) {
    if (!conflated) place->missing += update->ordinal - place->last - 1;
    place->last = update->ordinal;
  } else if (place->missing > 0) {
    place->missing--;
    run.disorder++;
  } else {
    run.duplicates++;
    return;
  }
  run.deliveries++;
  if (run.phase == MEASURING) run.deliveries_measured++;
  if (update->measured) histogram_add(&run.latency, now - update->sent);
  if (conflated) return;
  run.outstanding--;
  if (--update->left == 0) run.in_flight--;
}

static void scan(struct client *client, const char *at, const char *end, int64_t now) {
  struct follower *follower = &run.followers[client->index];
  struct bytes marker = run.spec->marker;
  follower->carried = 0;
  while (at < end && (at = memchr(at, marker.at[0], (size_t)(end - at)))) {
    size_t left = (size_t)(end - at);
    if (memcmp(at, marker.at, left < marker.length ? left : marker.length)) {
      at++;
      continue;
    }
    if (left < marker.length + DIGITS) {
      memcpy(follower->carry, at, left);
      follower->carried = (unsigned)left;
      return;
    }
    uint64_t number = 0;
    unsigned digit = 0;
    for (const char *digits = at + marker.length; digit < DIGITS && digits[digit] >= '0' && digits[digit] <= '9'; digit++)
      number = number * 10 + (uint64_t)(digits[digit] - '0');
    if (digit == DIGITS) saw(client, number, now);
    at += marker.length + digit;
  }
}

static void attend(struct client *client, uint32_t events) {
  static char buffer[CARRY + BUFFER];
  size_t length = clients_read(&run.clients, client, events, buffer + CARRY, BUFFER);
  if (!length) return;
  int64_t now = run.heard = now_ns();
  if (run.phase == MEASURING) run.bytes_measured += length;
  struct follower *follower = &run.followers[client->index];
  char *start = buffer + CARRY - follower->carried;
  memcpy(start, follower->carry, follower->carried);
  scan(client, start, buffer + CARRY + length, now);
}

static unsigned choose(void) {
  unsigned chosen;
  do chosen = publisher_choose(&run.publisher);
  while (!run.topics[chosen].audience);
  return chosen;
}

static void publish(unsigned chosen, int64_t sent) {
  if (run.update_count == run.update_room) {
    run.update_room = run.update_room * 2 + 1024;
    run.updates = grow(run.updates, run.update_room * sizeof *run.updates);
  }
  struct topic *topic = &run.topics[chosen];
  bool measured = run.phase == MEASURING;
  run.updates[run.update_count++] = (struct update){
      .sent = sent, .left = topic->audience, .topic = chosen, .ordinal = ++topic->published, .measured = measured};
  run.published_measured += measured;
  if (!run.spec->messages[chosen].conflated) {
    run.in_flight++;
    run.outstanding += topic->audience;
    run.wanted += topic->audience;
  }
  publisher_add(&run.publisher, chosen, run.spec->message_count + run.update_count);
}

/* Returns when the next update is due. */
static int64_t publish_due(int64_t now) {
  const struct spec *spec = run.spec;
  if (spec->window) {
    while (run.in_flight < spec->window) publish(choose(), now);
  } else
    while (run.due <= now) {
      if (run.outstanding > spec->most_outstanding) {
        run.overloaded = true;
        return now + NS_PER_MS;
      }
      if (run.phase == MEASURING) histogram_add(&run.lateness, now - run.due);
      publish(choose(), run.due);
      run.due = run.began + (int64_t)((double)++run.paced * 1e9 / spec->rate);
    }
  return spec->window ? INT64_MAX : run.due;
}

/* Publishes some of the first updates that are missing; returns true where these were the last ones for now. */
static bool publish_first(void) {
  for (unsigned many = 0; many < FIRST_AT_ONCE;) {
    unsigned topic = run.next_first++;
    if (run.topics[topic].unready) {
      publisher_add(&run.publisher, topic, topic + 1);
      many++;
    }
    if (run.next_first == run.spec->message_count) {
      run.next_first = 0;
      return true;
    }
  }
  return false;
}

/* First updates that were published more than once may still be on their way: this one comes after all of them. */
static void publish_last_of_first(int64_t now) {
  for (unsigned topic = 0; topic < run.spec->message_count; topic++)
    if (run.topics[topic].audience && !run.spec->messages[topic].conflated) {
      publish(topic, now);
      return;
    }
}

/* How many deliveries have not come; of streams that conflate only the last one of each counts. */
static uint64_t missing(void) {
  uint64_t sum = 0;
  for (unsigned at = 0; at < run.spec->connections; at++) {
    const struct script *script = spec_script(run.spec, at);
    for (unsigned which = 0; which < script->topic_count; which++) {
      const struct place *place = &run.followers[at].places[which];
      uint32_t published = run.topics[script->topics[which]].published;
      if (run.spec->messages[script->topics[which]].conflated) sum += place->last != published;
      else sum += published - place->last + place->missing;
    }
  }
  return sum;
}

static void report(void) {
  double seconds = (double)(run.ended - run.began) / 1e9, cpu = run.cpu_ended - run.cpu_began;
  printf("{\"event\":\"result\",\"connections\":%u,\"connectSeconds\":%.4f,\"failedAttempts\":%u,\"disconnected\":%u,",
         run.clients.count, (double)(run.opened - run.started) / 1e9, run.clients.failed, run.clients.lost);
  printf("\"seconds\":%.6f,\"published\":%llu,\"deliveries\":%llu,\"bytes\":%llu,", seconds,
         (unsigned long long)run.published_measured, (unsigned long long)run.deliveries_measured,
         (unsigned long long)run.bytes_measured);
  printf("\"allPublished\":%llu,\"allDeliveries\":%llu,\"lost\":%llu,\"duplicates\":%llu,\"outOfOrder\":%llu,",
         (unsigned long long)run.update_count, (unsigned long long)run.deliveries, (unsigned long long)missing(),
         (unsigned long long)run.duplicates, (unsigned long long)run.disorder);
  printf("\"strays\":%llu,\"overloaded\":%s,\"cpuSeconds\":%.4f,\"cpuShare\":%.4f,\"latency\":",
         (unsigned long long)run.strays, run.overloaded ? "true" : "false", cpu, cpu / seconds);
  histogram_print(&run.latency);
  printf(",\"lateness\":");
  histogram_print(&run.lateness);
  printf("}\n");
  fflush(stdout);
}

static int64_t later(int64_t now, int64_t ms) { return now + ms * NS_PER_MS; }

static int64_t get_ready(int64_t now) {
  const struct clients *clients = &run.clients;
  if (!run.opened && clients->open == clients->count) {
    run.opened = now;
    printf("{\"event\":\"open\",\"connections\":%u,\"failed\":%u,\"seconds\":%.4f}\n", clients->count, clients->failed,
           (double)(now - run.started) / 1e9);
    fflush(stdout);
  }
  if (run.opened && !run.unready) {
    say("ready");
    run.phase = SETTLING;
    publish_last_of_first(now);
    return later(now, CHECK_MS);
  }
  if (now >= run.check_at) {
    /* As long as they still come in, more of them would only be in the way. */
    if (run.opened && run.publisher.ready && run.seen_at_check == run.unready) {
      run.check_ms = publish_first() && run.check_ms ? 2 * run.check_ms : CHECK_MS;
      if (run.check_ms > LONGEST_CHECK_MS) run.check_ms = LONGEST_CHECK_MS;
    }
    run.seen_at_check = run.unready;
    run.check_at = later(now, run.check_ms ? run.check_ms : CHECK_MS);
  }
  if (now > later(run.opened ? run.opened : run.started, PATIENCE_MS))
    fail("after a minute %u of %u connections are open, and %llu first updates are missing", clients->open,
         clients->count, (unsigned long long)run.unready);
  return run.check_at;
}

/* Goes on to the next phase where it is time, publishes what is due, and returns when there is something to do again. */
static int64_t tick(int64_t now) {
  if (run.phase == GETTING_READY) return get_ready(now);
  if (run.phase == SETTLING) {
    if (run.outstanding && now < later(run.started, 2 * PATIENCE_MS)) return later(now, CHECK_MS);
    run.phase = WARMING_UP;
    run.phase_ends = now + run.spec->warmup_ns;
    run.began = run.due = now;
  }
  if (now >= run.phase_ends && run.phase == WARMING_UP) {
    run.phase = MEASURING;
    run.phase_ends = now + run.spec->measured_ns;
    run.began = run.due = now;
    run.paced = 0;
    run.cpu_began = cpu_seconds();
    say("begin");
  }
  if (now >= run.phase_ends && run.phase == MEASURING) {
    run.phase = DRAINING;
    run.ended = now;
    run.cpu_ended = cpu_seconds();
    say("end");
  }
  if (run.phase == WARMING_UP || run.phase == MEASURING) {
    int64_t due = publish_due(now);
    return due < run.phase_ends ? due : run.phase_ends;
  }
  if (run.phase == DRAINING) {
    bool complete = run.conflates ? missing() == 0 : run.outstanding == 0;
    /* Whoever is slow is not done as long as something comes. */
    int64_t last = run.heard > run.ended ? run.heard : run.ended;
    if (complete || now >= last + run.spec->drain_ns || now >= later(run.ended, PATIENCE_MS)) run.phase = DONE;
  }
  return later(now, CHECK_MS);
}

void fanout_run(const struct spec *spec) {
  static char dropped[BUFFER];
  run.spec = spec;
  prepare();
  loop_start(&run.loop);
  run.started = now_ns();
  clients_start(&run.clients, spec, run.loop.epoll);
  publisher_start(&run.publisher, spec, run.loop.epoll);
  while (run.phase != DONE) {
    int64_t now = now_ns(), opening = clients_tick(&run.clients, now), next = tick(now);
    publisher_flush(&run.publisher);
    loop_wake_at(&run.loop, opening < next ? opening : next);
    struct epoll_event events[BATCH];
    int count = epoll_wait(run.loop.epoll, events, BATCH, -1);
    for (int at = 0; at < count; at++) {
      void *owner = events[at].data.ptr;
      if (!owner) run.loop.due = 0;
      else if (owner == &run.publisher) publisher_read(&run.publisher, dropped, BUFFER);
      else attend(owner, events[at].events);
    }
  }
  report();
}

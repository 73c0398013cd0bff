#ifndef SAY_H
#define SAY_H

#include <stdio.h>

/* Tells the other side that something has happened. */
static inline void say(const char *event) {
  printf("{\"event\":\"%s\"}\n", event);
  fflush(stdout);
}

#endif

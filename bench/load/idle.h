#pragma once
#include "spec.h"

/*
 * Opens connections and holds them until stdin ends. A line "storm N" drops all of them and opens them again, N at a
 * time; each time all are open, it says so.
 */
void idle_run(const struct spec *spec);

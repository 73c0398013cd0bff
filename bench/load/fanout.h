#pragma once
#include "spec.h"

/* Publishes updates and counts their deliveries. */
void fanout_run(const struct spec *spec);

#pragma once
#include "spec.h"

/* Asks questions and times their answers. */
void queries_run(const struct spec *spec);

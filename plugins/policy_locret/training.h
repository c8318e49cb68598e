/* The learning part of LOCRET: what `tenure train locret` asks of it. */
#ifndef LOCRET_TRAINING_H
#define LOCRET_TRAINING_H

#include <tenure/ext/trainable.h>

extern const tenure_trainable_api locret_trainable;

#endif

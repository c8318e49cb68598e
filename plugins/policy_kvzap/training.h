/* The learning part of KVzap: what `tenure train kvzap` asks of it. */
#ifndef KVZAP_TRAINING_H
#define KVZAP_TRAINING_H

#include <tenure/ext/trainable.h>

extern const tenure_trainable_api kvzap_trainable;

#endif

/* Extension "tenure.trainable/1": a policy whose network `tenure train` fits. Its plugin answers query() for this id beside
 * tenure.policy/1.
 *
 * The host owns data, optimiser and files; the plugin knows its network and its loss. Layers learn apart from each other: a
 * layer's input row is evidence of one token (the evidence bits below side by side), its outputs are what the label of the
 * token says, one number a KV head in most policies. Labels and hyper-parameters are the recipe's, which is manifest data
 * ([[recipe]]); what a recipe says of the plugin's own ([[training]]) arrives as the config.
 *
 * What is learned is written as tensors "layers.{layer}.{name}" (tenure.weights/1 lends them to the policy again).
 */
#ifndef TENURE_EXT_TRAINABLE_H
#define TENURE_EXT_TRAINABLE_H

#include <tenure/abi.h>
#include <tenure/host.h>
#include <tenure/model.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_TRAINABLE_INTERFACE "tenure.trainable/1"

typedef struct tenure_trainable tenure_trainable; /* owner: the host, until destroy */

/* A tensor that is learned, row-major and f32. */
typedef struct tenure_trainable_parameter {
  tenure_head head;
  tenure_str name;         /* [a-z][a-z0-9_]*, unique in its layer; valid as long as the trainable */
  uint32_t n_dims;         /* 1 to 4 */
  uint32_t reserved0;
  uint64_t shape[4];
  double initial_variance; /* of the normal distribution it starts from; 0: it starts as zeros */
} tenure_trainable_parameter;

typedef struct tenure_trainable_layer {
  tenure_head head;
  uint32_t n_inputs;         /* as the host counts the evidence of this layer; to agree on */
  uint32_t n_outputs;        /* labels of a row; 0: nothing is learned here (a layer with a window), and nothing else is read */
  uint32_t n_parameters;     /* at least 1 */
  uint32_t parameter_stride; /* bytes from one to the next */
  /* (n_parameters) The first one has n_inputs columns and multiplies the input rows: the host trains on inputs divided by
   * each column's root mean square, and divides the first parameter's columns by it in the end. Valid as long as the
   * trainable. */
  const tenure_trainable_parameter* parameters;
} tenure_trainable_layer;

/* Consecutive rows of one document. */
typedef struct tenure_training_batch {
  tenure_head head;
  uint32_t layer;
  uint32_t n_rows;           /* at least 1 */
  uint32_t n_unlabelled;     /* the first so many rows have no label that counts */
  uint32_t reserved0;
  const float* inputs;       /* (n_rows, n_inputs) scaled as above */
  const float* labels;       /* (n_rows, n_outputs) NULL in scores */
  const float* const* parameters; /* (n_parameters) each of its shape */
} tenure_training_batch;

/* Every slot is required. */
typedef struct tenure_trainable_api {
  tenure_head head; /* rev = 1 */

  /* [control] config: the values of the manifest's [[training]] in their order, as the recipe and the user set them. The
   * model lives as long as the trainable. Host memory and the backend's products come through the host's services. */
  tenure_status (*create)(const tenure_host* host, const tenure_model_info* model, const tenure_config* config,
                          tenure_trainable** out, tenure_error* error);
  /* [control] */
  void (*destroy)(tenure_trainable* self);
  /* [control] TENURE_EVIDENCE_* of rows: Q_PRE, Q_POST, K_PRE, V, K_POST, HIDDEN. An input row is those that are set, in
   * this order, each with all of its heads. The manifest's [needs] must name them. */
  tenure_status (*evidence)(tenure_trainable* self, uint32_t* out, tenure_error* error);
  /* [control] *out: caller's, filled. */
  tenure_status (*layer)(tenure_trainable* self, uint32_t layer, tenure_trainable_layer* out, tenure_error* error);
  /* [stream] *loss: of this batch. gradients (n_parameters), each of its parameter's shape: overwritten. The same arguments give
   * the same bits. */
  tenure_status (*loss_and_gradient)(tenure_trainable* self, const tenure_training_batch* batch, float* loss,
                                     float* const* gradients, tenure_error* error);
  /* [stream] out (n_rows, n_outputs): what the policy would say of the rows. */
  tenure_status (*scores)(tenure_trainable* self, const tenure_training_batch* batch, float* out, tenure_error* error);
} tenure_trainable_api;

#ifdef __cplusplus
}
#endif

#endif

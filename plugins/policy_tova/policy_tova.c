/* TOVA, token omission via attention. Oren, Hassid, Yarden, Adi, Schwartz, "Transformers are Multi-State
 * RNNs", EMNLP 2024, arXiv 2401.06104, section 3.2.
 *
 * Score of a slot: the softmax weight that the last query gave it, the mean over all heads of the layer, so
 * that all of them hold the same tokens. No sinks, no window: what the last token did not attend to goes.
 *
 * Deviations: while a prompt is read it decides at chunk ends, by the chunk's last query; in decode at every
 * step, as the paper does.
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/scorer.h>

static tenure_status needs(const tenure_model_info* model, const tenure_config* config, tenure_needs* out,
                           tenure_error* error) {
  (void)model, (void)config, (void)error;
  out->mass_rows = 1;
  return TENURE_OK;
}

static tenure_status score_last(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                const tenure_evidence* const* evidence, tenure_status* statuses,
                                tenure_error* error) {
  (void)self, (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_head_view* head = tenure_head_at(evidence[s]->view, 0);
    statuses[s] = evidence[s]->keepset->score(evidence[s]->keepset, layer, &head->mass, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {
    .head = {.struct_size = sizeof api, .rev = 1}, .needs = needs, .observe = score_last};

TENURE_SINGLE_PLUGIN("tova", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);

/* StreamingLLM: attention sinks and a sliding window. Xiao, Tian, Chen, Han, Lewis, "Efficient Streaming
 * Language Models with Attention Sinks", ICLR 2024, arXiv 2309.17453, section 3.2.
 *
 * Rule: of n tokens the first n_sink (4) and the last budget - n_sink stay, the same ones in every layer and
 * head, at every decision. A slot's score is its position; the host's protection keeps the sinks. Keys are
 * placed by their rank in the cache, not by their position in the text (section 3.2, "positions within the
 * cache"): positions = "rank".
 *
 * Deviations: the paper evicts at every appended token; while a prompt is read we decide at chunk ends, so
 * the window is up to one chunk longer inside a chunk. With positions = "original" this is plain window
 * attention with sinks.
 */
#include <stddef.h>
#include <tenure/entry.h>
#include <tenure/policy.h>

/* Granularity is token, so a view has one head. Its state is one float a slot: where the scores are written.
 * f32 counts exactly up to 2^24 positions. */
static tenure_status select_newest(tenure_policy* self, const tenure_call* call, uint32_t layer, uint32_t n,
                                   const tenure_view* const* views, tenure_keepset* const* keepsets,
                                   tenure_status* statuses, tenure_error* error) {
  (void)self, (void)call;
  for (uint32_t s = 0; s < n; ++s) {
    const tenure_head_view* head = views[s]->heads;
    for (uint32_t i = 0; i < head->n_slots; ++i) head->state[i] = (float)head->pos[i];
    statuses[s] = keepsets[s]->score(keepsets[s], layer, NULL, NULL, error);
  }
  return TENURE_OK;
}

static const tenure_policy_api api = {.head = {.struct_size = sizeof api, .rev = 1}, .select = select_newest};

TENURE_SINGLE_PLUGIN("streaming_llm", "policy", "1.0.0", TENURE_POLICY_INTERFACE, api);

#include "graph/prompt_settings.h"

namespace tenure {

PromptSettings prompt_settings(const StagePlan& stage, const Runtime& runtime, std::chrono::nanoseconds time_limit) {
  PromptSettings settings;
  settings.time_limit = time_limit;
  if (const auto* score = std::get_if<ScorePlan>(&stage.work)) {
    settings.policy = &runtime.policy(score->policy);
    settings.window = score->window;
    return settings;
  }
  const auto& plan = std::get<GeneratePlan>(stage.work);
  settings.policy = &runtime.policy(plan.policy);
  settings.chat = plan.chat;
  settings.parse_special = plan.parse_special;
  settings.truncate_middle = plan.overflow == Overflow::truncate_middle;
  settings.max_new_tokens = plan.max_new_tokens;
  settings.sampling = {.temperature = static_cast<float>(plan.temperature),
                       .top_k = static_cast<int32_t>(plan.top_k),
                       .top_p = static_cast<float>(plan.top_p),
                       .min_p = static_cast<float>(plan.min_p),
                       .repeat_penalty = static_cast<float>(plan.repeat_penalty)};
  settings.stop = plan.stop;
  settings.seed = plan.seed;
  settings.samples = plan.samples;
  settings.ignore_eos = plan.ignore_eos;
  return settings;
}

}  // namespace tenure

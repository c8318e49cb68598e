// One segment's generation: tokens out of logits, text out of tokens, and when to stop.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/batch.h"
#include "sampler/sampler.h"
#include "session/script.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/stop_strings.h"
#include "tokenizer/tokenizer.h"

namespace tenure {

class Answer {
 public:
  Answer(const Tokenizer& tokenizer, const SessionScript& script, uint32_t max_tokens);

  // Takes the next token from a row's logits. `recent`: the sequence so far. False when the logits are not finite.
  bool accept(Sampler& sampler, const tenure_logits& logits, std::span<const float> full, std::span<const int32_t> recent);

  bool done() const { return finish_ != Finish::none; }
  Finish finished() const { return finish_; }
  std::span<const int32_t> tokens() const { return tokens_; }  // without the one that ended it
  std::optional<int32_t> ending_token() const { return ending_; }
  int32_t last_sampled() const { return last_; }
  const std::string& text() const { return text_; }
  double logprob() const { return logprob_; }  // natural, of all sampled tokens, the ending one included

 private:
  void finish(Finish why);
  void show(const std::string& piece);

  const Tokenizer& tokenizer_;
  const SessionScript& script_;
  uint32_t max_tokens_;
  Detokenizer detokenizer_;
  StopStrings stops_;
  std::vector<int32_t> tokens_;
  std::string text_;
  std::string shown_;
  std::string piece_;
  std::optional<int32_t> ending_;
  int32_t last_ = -1;
  double logprob_ = 0;
  Finish finish_ = Finish::none;
};

}  // namespace tenure

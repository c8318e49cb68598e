#include "session/answer.h"

namespace tenure {

Answer::Answer(const Tokenizer& tokenizer, const SessionScript& script, uint32_t max_tokens)
    : tokenizer_(tokenizer), script_(script), max_tokens_(max_tokens), stops_(script.stop) {
  tokens_.reserve(max_tokens);
  text_.reserve(size_t{max_tokens} * 8);
}

bool Answer::accept(Sampler& sampler, const tenure_logits& logits, std::span<const float> full,
                    std::span<const int32_t> recent) {
  if (logits.status != TENURE_OK) return false;
  int32_t token = logits.argmax;
  float logit = logits.max_logit;
  if (sampler.needs_logits()) {
    const std::optional<int32_t> drawn = sampler.sample(full, recent);
    if (!drawn) return false;
    token = *drawn;
    logit = full[static_cast<size_t>(token)];
  }
  logprob_ += static_cast<double>(logit) - logits.logsumexp;
  last_ = token;
  if (!script_.ignore_eos && tokenizer_.is_end_of_generation(token)) {
    ending_ = token;
    finish(Finish::eos);
    return true;
  }
  tokens_.push_back(token);
  piece_.clear();
  if (stops_.push(tokenizer_.bytes(token), piece_)) {
    show(piece_);
    finish(Finish::stop);
  } else {
    show(piece_);
    if (tokens_.size() == max_tokens_) finish(Finish::length);
  }
  return true;
}

void Answer::show(const std::string& piece) {
  shown_.clear();
  detokenizer_.push(piece, shown_);
  text_ += shown_;
  if (script_.on_text && !shown_.empty()) script_.on_text(shown_);
}

void Answer::finish(Finish why) {
  if (why != Finish::stop) {
    piece_.clear();
    stops_.finish(piece_);
    show(piece_);
  }
  shown_.clear();
  detokenizer_.finish(shown_);
  text_ += shown_;
  if (script_.on_text && !shown_.empty()) script_.on_text(shown_);
  finish_ = why;
}

}  // namespace tenure

// From a request to a session's script: templates, special tokens, BOS, windows, overflow. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "record/request.h"
#include "sampler/sampler.h"
#include "session/script.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/chat_turns.h"
#include "tokenizer/tokenizer.h"

namespace tenure {

// What a stage says of its requests; a request line wins where it says something too.
struct PromptSettings {
  const PolicySettings* policy = nullptr;
  bool chat = false;
  bool parse_special = false;
  bool truncate_middle = false;
  uint32_t max_new_tokens = 256;
  SamplerConfig sampling;
  std::vector<std::string> stop;
  uint64_t seed = 0;
  uint32_t samples = 1;
  bool ignore_eos = false;
  // A score stage: perplexity over windows of so many tokens, or of the continuation; 0 = a generate stage.
  uint32_t window = 0;
  std::chrono::nanoseconds time_limit{0};
};

// A model file's text side.
class Language {
 public:
  explicit Language(const TokenizerMetadata& metadata);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  // Throw Error when the model has no chat template, or one that cannot be used (so).
  const ChatTemplate& chat() const;
  const ChatTurns& turns() const;

 private:
  Tokenizer tokenizer_;
  std::unique_ptr<ChatTemplate> chat_;
  std::unique_ptr<ChatTurns> turns_;
  std::string why_no_chat_;
  std::string why_no_turns_;
};

class PromptMaker {
 public:
  // `language` outlives the maker. n_ctx binds in original positions.
  PromptMaker(const Language& language, uint32_t n_ctx) : language_(language), n_ctx_(n_ctx) {}

  // Everything but the sample's number and seed, or why the request cannot be run. Never throws.
  std::variant<SessionScript, RowError> make(const Request& request, const PromptSettings& settings, const std::string& cell) const;
  // The script of one sample of it.
  static SessionScript sample_of(const SessionScript& script, uint32_t sample);

 private:
  std::vector<SegmentScript> segments_of(const Request& request, const PromptSettings& settings) const;
  std::vector<int32_t> prompt_ids(const Request& request, const PromptSettings& settings) const;
  std::vector<SegmentScript> chat_segments(const std::vector<RequestSegment>& parts, const PromptSettings& settings) const;
  std::vector<int32_t> encode(const std::string& text, const PromptSettings& settings, TextStart start) const;
  void add_bos(std::vector<SegmentScript>& segments) const;

  const Language& language_;
  uint32_t n_ctx_;
};

}  // namespace tenure

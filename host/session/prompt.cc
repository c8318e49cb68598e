#include "session/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "error/error.h"
#include "sampler/random.h"

namespace tenure {
namespace {

// A request that cannot be run; caught in make().
[[noreturn]] void refuse(Code code, std::string text) { throw Error(code, std::move(text)); }

std::vector<ChatMessage> chat_messages(const std::vector<Message>& messages, const Tokenizer& tokenizer) {
  std::vector<ChatMessage> out;
  // What a request says must not end its turn: its control tokens stay text.
  for (const Message& message : messages) out.push_back({.role = message.role, .content = tokenizer.guard(message.content)});
  return out;
}

// Windows as the usual perplexity does them: without overlap, each on its own, the second half scored. A remainder is
// left out, unless there is nothing else. Where the model asks for a BOS, it takes the place of a window's first token.
std::vector<SegmentScript> perplexity_windows(const std::vector<int32_t>& ids, uint32_t window, std::optional<int32_t> bos) {
  const size_t size = std::min<size_t>(window, ids.size());
  if (size < 2) refuse(Code::row_bad_request, "perplexity needs at least 2 tokens");
  std::vector<SegmentScript> segments;
  for (size_t begin = 0; begin + size <= ids.size(); begin += size) {
    const auto first = ids.begin() + static_cast<ptrdiff_t>(begin);
    // The token in the middle is fed, the one after it is the first that is scored.
    const auto middle = first + static_cast<ptrdiff_t>(size / 2 + (size > 2 ? 1 : 0));
    segments.push_back({.ids = {first, middle}, .score = {middle, first + static_cast<ptrdiff_t>(size)}, .fork = true});
    if (bos) segments.back().ids.front() = *bos;
  }
  return segments;
}

// LOCRET-Q (arXiv 2410.01805, section 4.4): the end of a prompt, where its question is, in front of it as well.
void add_query_prefix(std::vector<SegmentScript>& segments, uint32_t n_prefix, std::optional<int32_t> bos) {
  const auto asks = std::find_if(segments.begin(), segments.end(), [](const SegmentScript& segment) {
    return segment.fork || segment.generate > 0 || !segment.score.empty();
  });
  if (asks == segments.end() || asks->fork) return;
  std::vector<int32_t> prompt;
  for (auto segment = segments.begin(); segment <= asks; ++segment) prompt.insert(prompt.end(), segment->ids.begin(), segment->ids.end());
  std::vector<int32_t>& first = segments.front().ids;
  const size_t begin = bos && !first.empty() && first.front() == *bos ? 1 : 0;
  const size_t n = std::min<size_t>(n_prefix, prompt.size() - begin);
  first.insert(first.begin() + static_cast<ptrdiff_t>(begin), prompt.end() - static_cast<ptrdiff_t>(n), prompt.end());
}

// Cuts tokens out of the longest segment's middle, so that everything fits.
void truncate_middle(std::vector<SegmentScript>& segments, uint64_t n_too_many) {
  const auto longest = std::max_element(segments.begin(), segments.end(),
                                        [](const auto& a, const auto& b) { return a.ids.size() < b.ids.size(); });
  if (longest->ids.size() <= n_too_many + 1) refuse(Code::row_too_long, "even without its middle the prompt does not fit");
  const auto begin = longest->ids.begin() + static_cast<ptrdiff_t>((longest->ids.size() - n_too_many) / 2);
  longest->ids.erase(begin, begin + static_cast<ptrdiff_t>(n_too_many));
}

}  // namespace

Language::Language(const TokenizerMetadata& metadata) : tokenizer_(metadata) {
  if (metadata.chat_template.empty()) {
    why_no_chat_ = why_no_turns_ = "the model has no chat template";
    return;
  }
  const auto piece = [&](const std::optional<uint32_t>& id) { return id ? metadata.tokens[*id] : std::string(); };
  try {
    chat_ = std::make_unique<ChatTemplate>(metadata.chat_template, piece(metadata.bos_id), piece(metadata.eos_id));
    turns_ = std::make_unique<ChatTurns>(*chat_);
  } catch (const Error& error) {
    (chat_ ? why_no_turns_ : why_no_chat_) = error.diagnostics().front().text;
    if (!chat_) why_no_turns_ = why_no_chat_;
  }
}

const ChatTemplate& Language::chat() const {
  if (!chat_) refuse(Code::template_unsupported, why_no_chat_);
  return *chat_;
}

const ChatTurns& Language::turns() const {
  if (!turns_) refuse(Code::template_unsupported, why_no_turns_);
  return *turns_;
}

std::vector<int32_t> PromptMaker::encode(const std::string& text, const PromptSettings& settings, TextStart start) const {
  return language_.tokenizer().encode(text, settings.parse_special ? SpecialTokens::parse : SpecialTokens::plain, start);
}

void PromptMaker::add_bos(std::vector<SegmentScript>& segments) const {
  const std::optional<int32_t> bos = language_.tokenizer().bos_to_add();
  if (!bos) return;
  for (SegmentScript& segment : segments) {
    if (segment.ids.empty() || segment.ids.front() != *bos) segment.ids.insert(segment.ids.begin(), *bos);
    if (!segment.fork) return;  // forks before the trunk's first text each start the sequence
  }
}

std::vector<int32_t> PromptMaker::prompt_ids(const Request& request, const PromptSettings& settings) const {
  const Tokenizer& tokenizer = language_.tokenizer();
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&request.input)) {
    const auto bad = std::find_if(ids->begin(), ids->end(), [&](int32_t id) { return id < 0 || id >= tokenizer.n_vocab(); });
    if (bad != ids->end()) {
      refuse(Code::row_bad_request, fmt::format("token {} is outside the vocabulary of {}", *bad, tokenizer.n_vocab()));
    }
    return *ids;
  }
  if (const auto* messages = std::get_if<std::vector<Message>>(&request.input)) {
    return tokenizer.encode(language_.chat().render(chat_messages(*messages, tokenizer), ChatEnd::open_assistant),
                            SpecialTokens::parse_unguarded);
  }
  const auto& prompt = std::get<std::string>(request.input);
  if (!settings.chat) return encode(prompt, settings, TextStart::sequence);
  const std::vector<Message> message = {{.role = "user", .content = prompt}};
  return tokenizer.encode(language_.chat().render(chat_messages(message, tokenizer), ChatEnd::open_assistant),
                          SpecialTokens::parse_unguarded);
}

// Segments with their turns: a turn that generated or scored stays open until the next role closes it.
std::vector<SegmentScript> PromptMaker::chat_segments(const std::vector<RequestSegment>& parts,
                                                      const PromptSettings& settings) const {
  struct Turns {
    std::string previous_role;  // of the turn that came before; empty: none
    bool open = false;          // the assistant's turn waits for its end
  };
  const Tokenizer& tokenizer = language_.tokenizer();
  std::vector<SegmentScript> segments;
  Turns trunk;
  TextStart start = TextStart::sequence;  // until the trunk has text
  for (const RequestSegment& part : parts) {
    Turns turns = trunk;
    const bool asks = part.generate || part.score;
    std::string text;
    if (!part.role.empty()) {
      const ChatTurns& chat = language_.turns();
      const ChatMessage message{.role = part.role, .content = tokenizer.guard(part.text)};
      if (turns.open) text += chat.assistant_end();
      turns.open = false;
      if (part.role == "assistant" && asks) {
        text += turns.previous_role.empty() ? chat.open_with_assistant() : chat.assistant_begin();
        if (!message.content.empty()) text += chat.assistant_lead() + message.content;
        turns.open = true;
      } else {
        text += turns.previous_role.empty() ? chat.open(message) : chat.turn(message, turns.previous_role);
        if (asks) text += chat.assistant_begin();
        turns.open = asks;
      }
      turns.previous_role = turns.open ? "assistant" : part.role;
    }
    SegmentScript segment{.fork = part.fork, .label = part.label, .answers = part.answers};
    segment.ids = part.role.empty() ? encode(part.text, settings, start)
                                    : tokenizer.encode(text, SpecialTokens::parse_unguarded, start);
    segment.generate = static_cast<uint32_t>(part.generate.value_or(0));
    if (part.score) {
      segment.score = encode(*part.score, settings, segment.ids.empty() ? start : TextStart::continuation);
      if (segment.score.empty()) refuse(Code::row_bad_request, "\"score\" has no tokens");
    }
    if (!part.fork) {
      trunk = turns;
      if (!segment.ids.empty() || asks) start = TextStart::continuation;
    }
    segments.push_back(std::move(segment));
  }
  return segments;
}

std::vector<SegmentScript> PromptMaker::segments_of(const Request& request, const PromptSettings& settings) const {
  std::vector<SegmentScript> segments;
  const auto* parts = std::get_if<std::vector<RequestSegment>>(&request.input);
  if (parts != nullptr) {
    segments = chat_segments(*parts, settings);
  } else {
    SegmentScript whole{.ids = prompt_ids(request, settings), .label = request.label, .answers = request.answers};
    if (settings.window == 0) {
      whole.generate = static_cast<uint32_t>(request.options.max_new_tokens.value_or(settings.max_new_tokens));
    } else if (request.continuation) {
      whole.score = encode(*request.continuation, settings, whole.ids.empty() ? TextStart::sequence : TextStart::continuation);
      if (whole.score.empty()) refuse(Code::row_bad_request, "\"continuation\" has no tokens");
    } else {
      return perplexity_windows(whole.ids, settings.window, language_.tokenizer().bos_to_add());
    }
    segments.push_back(std::move(whole));
  }
  add_bos(segments);
  if (segments.front().ids.empty()) refuse(Code::row_bad_request, "the prompt has no tokens");
  return segments;
}

std::variant<SessionScript, RowError> PromptMaker::make(const Request& request, const PromptSettings& settings,
                                                        const std::string& cell) const {
  try {
    SessionScript script;
    script.id = request.id;
    script.cell = cell;
    script.policy = settings.policy;
    script.sampling = settings.sampling;
    if (request.options.temperature) script.sampling.temperature = static_cast<float>(*request.options.temperature);
    if (request.options.top_p) script.sampling.top_p = static_cast<float>(*request.options.top_p);
    script.stop = request.options.stop.value_or(settings.stop);
    script.seed = request.options.seed.value_or(settings.seed);
    script.ignore_eos = settings.ignore_eos;
    script.time_limit = settings.time_limit;
    script.segments = segments_of(request, settings);
    if (settings.policy->query_prefix > 0) {
      add_query_prefix(script.segments, settings.policy->query_prefix, language_.tokenizer().bos_to_add());
    }
    const bool bound = settings.policy->positions == PositionMode::original;
    if (bound && script.n_total() > n_ctx_) {
      const uint64_t n_too_many = script.n_total() - n_ctx_;
      if (!settings.truncate_middle) {
        refuse(Code::row_too_long, fmt::format("{} tokens with its answer, the model's context has {}", script.n_total(), n_ctx_));
      }
      truncate_middle(script.segments, n_too_many);
    }
    return script;
  } catch (const Error& error) {
    const RowCode code = row_code(error.code());
    return RowError{.code = code == RowCode::internal ? RowCode::bad_request : code, .message = error.diagnostics().front().text};
  } catch (const std::exception& error) {
    return RowError{.code = RowCode::internal, .message = error.what()};
  }
}

SessionScript PromptMaker::sample_of(const SessionScript& script, uint32_t sample) {
  SessionScript copy = script;
  copy.sample = sample;
  copy.key = seed_key(script.seed, script.id, script.cell, sample);
  return copy;
}

}  // namespace tenure

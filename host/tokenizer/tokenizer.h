// Text to token ids and back: byte-level BPE (GGUF's tokenizer.ggml.model "gpt2") and SentencePiece's BPE
// ("llama").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/byte_level_encoder.h"
#include "tokenizer/sentencepiece_encoder.h"
#include "tokenizer/special_tokens.h"
#include "weights/tokenizer_metadata.h"

namespace tenure {

// What control tokens that are spelled out in text (<|im_end|>) become. User-defined tokens always become one
// id.
enum class SpecialTokens : uint8_t {
  plain,            // ordinary text: what a request says cannot end its turn
  parse,            // their ids
  parse_unguarded,  // their ids, except where Tokenizer::guard marked them: a rendered chat
};

// Where a text stands. A SentencePiece vocabulary may ask for a blank before the first word of a sequence:
// its " Paris" is one token, at the start and inside alike. A later piece of the sequence gets none.
enum class TextStart : uint8_t { sequence, continuation };

enum class ControlTokens : uint8_t { hidden, shown };

// Immutable after construction, so every const member is thread-safe.
class Tokenizer {
 public:
  // Throws Error(tokenizer_malformed) naming the offending index, Error(model_unsupported) for another
  // tokenizer model or an unknown pre-tokenizer.
  explicit Tokenizer(const TokenizerMetadata& metadata);

  // No BOS is added: see bos_to_add(). Invalid UTF-8 is first replaced by U+FFFD; NUL bytes are text like any
  // other. A SentencePiece vocabulary that asks for a blank before a first word gets it before a word after a
  // special token too if the model was made so (Llama 2 and GGUF: yes; Gemma: neither; tokenizer.json says
  // which). O(n log n) for any text. Throws Error(row_bad_request) for a text of 2 GiB or more, or one that
  // meets a limit of the pre-tokenizer.
  std::vector<int32_t> encode(std::string_view text, SpecialTokens special,
                              TextStart start = TextStart::sequence) const;

  // `text` with a mark (byte FF, which no UTF-8 text contains) before each control token spelled out in it,
  // so that encode(…, parse_unguarded) reads them as plain text. For what a request puts into a chat
  // template, whose own control tokens must be parsed. Invalid UTF-8 is replaced by U+FFFD.
  std::string guard(std::string_view text) const;

  // The bytes of a token's text, maybe a part of a character (see Detokenizer). id in [0, n_vocab). An answer
  // is told token by token with the blank that its first word begins with: what it continues may end without
  // one.
  std::string_view bytes(int32_t id, ControlTokens control = ControlTokens::hidden) const;
  // All of a sequence's `ids` at once, invalid UTF-8 replaced. The blank that encode() put before the first
  // word is taken away again.
  std::string detokenize(const std::vector<int32_t>& ids,
                         ControlTokens control = ControlTokens::hidden) const;

  // The vocabulary's own spelling of a token ("Ġhello", "▁hello").
  std::string_view piece(int32_t id) const { return pieces_.at(static_cast<size_t>(id)); }
  int32_t n_vocab() const { return static_cast<int32_t>(pieces_.size()); }

  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  // The token to put before the first one of a sequence, once, if the model asks for it.
  std::optional<int32_t> bos_to_add() const { return add_bos_ ? bos_ : std::nullopt; }
  // eos, end of turn or message, and the control tokens known to end an answer (<|im_end|>, <|endoftext|>,
  // <|eot_id|>, </s>, <end_of_turn>, …).
  bool is_end_of_generation(int32_t id) const;

 private:
  class Sections;
  using Encoder = std::variant<ByteLevelEncoder, SentencePieceEncoder>;
  static Encoder make_encoder(const Vocabulary& vocabulary, const TokenizerMetadata& metadata);
  Tokenizer(const Vocabulary& vocabulary, const TokenizerMetadata& metadata);

  void read_ids(const Vocabulary& vocabulary, const TokenizerMetadata& metadata);

  Encoder encoder_;
  std::vector<std::string> pieces_;       // (n_vocab)
  std::vector<std::string> bytes_;        // (n_vocab)
  std::vector<bool> is_control_;          // (n_vocab)
  std::vector<bool> strips_white_space_;  // (n_vocab)
  SpecialTokenMatcher always_;   // user-defined
  SpecialTokenMatcher control_;  // control, unknown
  SpecialTokenMatcher parsed_;   // all of these
  std::optional<int32_t> bos_;
  std::optional<int32_t> eos_;
  bool add_bos_ = false;
  bool add_space_prefix_ = false;
  bool add_space_after_special_ = false;
  bool skips_present_blank_ = false;
  std::vector<int32_t> end_of_generation_;
};

}  // namespace tenure

// What a model file says about its tokenizer, as read, before any of it is given a meaning. Plain data, owns
// its strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tenure {

// GGUF's tokenizer.ggml.token_type. Other numbers are refused when the file is read.
enum class TokenType : uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,       // matched in text only when special tokens are parsed; not printed
  user_defined = 4,  // always matched whole
  unused = 5,
  byte = 6,
};

struct TokenizerMetadata {
  std::string model;  // "gpt2" = byte-level BPE, "llama" = SentencePiece's BPE
  std::string pre;    // pre-tokenizer's name, e.g. "smollm"; empty when absent
  std::vector<std::string>
      tokens;  // (n_vocab); "gpt2" spells bytes as printable characters, "llama" blanks as ▁
  std::vector<TokenType> token_types;  // (n_vocab); all normal when the file has none
  std::vector<std::string> merges;     // "left right", first = applied first; empty when absent
  std::vector<float> scores;   // (n_vocab), none is NaN; "llama": the best is merged first; empty when absent
  bool ignore_merges = false;  // a word that is a token as a whole is that token (Llama 3)
  // Ids are < n_vocab.
  std::optional<uint32_t> bos_id;
  std::optional<uint32_t> eos_id;
  std::optional<uint32_t> eot_id;  // end of turn, where it differs from eos
  std::optional<uint32_t> eom_id;  // end of message: the model waits for a tool
  std::optional<uint32_t> unknown_id;
  std::vector<uint32_t> end_ids;  // what else ends an answer; empty when the file names none
  bool add_bos = false;  // what the file says, or what its format implies
  bool add_space_prefix = false;             // "llama": a blank goes before the first word
  bool add_space_after_special = false;      // and before a word that follows a special token
  bool skips_present_blank = false;          // neither where the text has one there already (Metaspace)
  std::vector<uint32_t> strips_white_space;  // tokens after which white space of the text is dropped (Phi-3)
  std::string chat_template;                 // Jinja source; empty when absent
};

}  // namespace tenure

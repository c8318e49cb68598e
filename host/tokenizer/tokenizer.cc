#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "error/error.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/utf8.h"

namespace tenure {
namespace {

constexpr char guard_byte = '\xFF';
constexpr std::string_view blank_mark = "\u2581";  // SentencePiece's sign for a space

std::string text_of(const Vocabulary& vocabulary, const TokenizerMetadata& metadata, size_t id) {
  return metadata.model == "llama" ? sentencepiece_text(vocabulary, id) : byte_level_text(vocabulary, id);
}

// Spelled as they stand in a text: a user-defined run of ▁ is one of blanks.
template <typename Wanted>
SpecialTokenMatcher matcher(const Vocabulary& vocabulary, const TokenizerMetadata& metadata, Wanted wanted) {
  std::vector<SpecialTokenMatcher::Token> tokens;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (wanted(vocabulary.type(id)) && !vocabulary.piece(id).empty())
      tokens.push_back({text_of(vocabulary, metadata, id), static_cast<int32_t>(id)});
  }
  return SpecialTokenMatcher(std::move(tokens));
}

bool is_user_defined(TokenType type) {
  return type == TokenType::user_defined;
}

bool is_special(TokenType type) {
  return is_user_defined(type) || is_control(type);
}

std::string repair(std::string_view text, bool keep_guards) {
  if (!keep_guards) return replace_invalid_utf8(text);
  std::string repaired;
  for (;;) {
    const size_t mark = text.find(guard_byte);
    repaired += replace_invalid_utf8(text.substr(0, mark));
    if (mark == std::string_view::npos) return repaired;
    repaired += guard_byte;
    text.remove_prefix(mark + 1);
  }
}

size_t n_white_space(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const Utf8Sequence next = read_utf8(text.substr(n));
    if (next.status != Utf8Status::valid || !is_python_space(next.value)) break;
    n += next.n_bytes;
  }
  return n;
}

}  // namespace

// The stretches of plain text between special tokens, on their way to ids.
class Tokenizer::Sections {
 public:
  Sections(const Tokenizer& tokenizer, TextStart start, std::vector<int32_t>& ids)
      : tokenizer_(tokenizer), ids_(ids) {
    needs_blank_ = tokenizer.add_space_prefix_ && start == TextStart::sequence;
  }

  void add(char byte) { plain_ += byte; }

  void add_special(int32_t id) {
    finish();
    ids_.push_back(id);
    needs_blank_ = tokenizer_.add_space_after_special_;
  }

  void finish() {
    if (plain_.empty()) return;
    const bool has_blank = plain_.starts_with(' ') || plain_.starts_with(blank_mark);
    if (needs_blank_ && !(tokenizer_.skips_present_blank_ && has_blank)) plain_.insert(0, 1, ' ');
    needs_blank_ = false;
    std::visit([&](const auto& encoder) { encoder.encode(plain_, ids_); }, tokenizer_.encoder_);
    plain_.clear();
  }

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t>& ids_;
  std::string plain_;
  bool needs_blank_ = false;
};

Tokenizer::Encoder Tokenizer::make_encoder(const Vocabulary& vocabulary, const TokenizerMetadata& metadata) {
  if (metadata.model == "llama") return SentencePieceEncoder(vocabulary, metadata);
  if (metadata.model != "gpt2") {
    throw Error(
        Code::model_unsupported,
        fmt::format("tokenizer model \"{}\" is not supported (supported: gpt2, llama)", metadata.model));
  }
  if (metadata.add_space_prefix) {
    throw Error(Code::model_unsupported,
                "tokenizer.ggml.add_space_prefix = true is not supported with model gpt2");
  }
  return ByteLevelEncoder(vocabulary, metadata);
}

Tokenizer::Tokenizer(const TokenizerMetadata& metadata) : Tokenizer(Vocabulary(metadata), metadata) {}

Tokenizer::Tokenizer(const Vocabulary& vocabulary, const TokenizerMetadata& metadata)
    : encoder_(make_encoder(vocabulary, metadata)),
      pieces_(metadata.tokens),
      strips_white_space_(vocabulary.size()),
      always_(matcher(vocabulary, metadata, is_user_defined)),
      control_(matcher(vocabulary, metadata, is_control)),
      parsed_(matcher(vocabulary, metadata, is_special)),
      add_space_prefix_(metadata.add_space_prefix),
      add_space_after_special_(metadata.add_space_after_special),
      skips_present_blank_(metadata.skips_present_blank) {
  bytes_.reserve(vocabulary.size());
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    bytes_.push_back(text_of(vocabulary, metadata, id));
    is_control_.push_back(is_control(vocabulary.type(id)));
  }
  read_ids(vocabulary, metadata);
}

void Tokenizer::read_ids(const Vocabulary& vocabulary, const TokenizerMetadata& metadata) {
  bos_ = vocabulary.checked_id(metadata.bos_id, "bos_token_id");
  eos_ = vocabulary.checked_id(metadata.eos_id, "eos_token_id");
  vocabulary.checked_id(metadata.unknown_id, "unknown_token_id");
  add_bos_ = metadata.add_bos;
  if (add_bos_ && !bos_) malformed_tokenizer("add_bos_token is true, but there is no bos_token_id");
  for (const auto& id : {eos_, vocabulary.checked_id(metadata.eot_id, "eot_token_id"),
                         vocabulary.checked_id(metadata.eom_id, "eom_token_id")}) {
    if (id) end_of_generation_.push_back(*id);
  }
  for (const uint32_t id : metadata.end_ids)
    end_of_generation_.push_back(*vocabulary.checked_id(id, "an id that ends an answer"));
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (is_control_[id] && is_known_end(vocabulary.piece(id)))
      end_of_generation_.push_back(static_cast<int32_t>(id));
  }
  for (uint32_t id : metadata.strips_white_space) {
    strips_white_space_[static_cast<size_t>(*vocabulary.checked_id(id, "a token that strips white space"))] =
        true;
  }
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return std::find(end_of_generation_.begin(), end_of_generation_.end(), id) != end_of_generation_.end();
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special, TextStart start) const {
  const bool honours_guards = special == SpecialTokens::parse_unguarded;
  const std::string repaired = repair(text, honours_guards);
  if (repaired.size() >= std::numeric_limits<int32_t>::max()) {
    throw Error(Code::row_bad_request,
                fmt::format("a text of {} bytes is too long (limit: 2 GiB)", repaired.size()));
  }
  std::vector<int32_t> ids;
  Sections sections(*this, start, ids);
  bool guarded = false;
  for (size_t at = 0; at < repaired.size();) {
    if (honours_guards && repaired[at] == guard_byte) {
      guarded = true;
      ++at;
      continue;
    }
    const bool parses = special != SpecialTokens::plain && !guarded;
    guarded = false;
    const auto match = (parses ? parsed_ : always_).match(std::string_view(repaired).substr(at));
    if (!match) {
      sections.add(repaired[at++]);
      continue;
    }
    sections.add_special(match->id);
    at += match->n_bytes;
    if (strips_white_space_[static_cast<size_t>(match->id)])
      at += n_white_space(std::string_view(repaired).substr(at));
  }
  sections.finish();
  return ids;
}

std::string Tokenizer::guard(std::string_view text) const {
  const std::string repaired = replace_invalid_utf8(text);
  std::string guarded;
  guarded.reserve(repaired.size());
  for (size_t at = 0; at < repaired.size(); ++at) {
    // Also where the text ends inside a token's spelling, which the template could complete. User-defined
    // tokens need no mark, and a template that trims blanks must find them.
    if (control_.could_begin(std::string_view(repaired).substr(at))) guarded += guard_byte;
    guarded += repaired[at];
  }
  return guarded;
}

std::string_view Tokenizer::bytes(int32_t id, ControlTokens control) const {
  const auto at = static_cast<size_t>(id);
  if (control == ControlTokens::hidden && is_control_.at(at)) return {};
  return bytes_.at(at);
}

std::string Tokenizer::detokenize(const std::vector<int32_t>& ids, ControlTokens control) const {
  std::string text;
  Detokenizer detokenizer;
  for (int32_t id : ids) detokenizer.push(bytes(id, control), text);
  detokenizer.finish(text);
  if (add_space_prefix_ && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

}  // namespace tenure

#include "tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "error/error.h"

namespace tenure {
namespace {

// The published patterns, with \p{White_Space} for \s: PCRE2's \s also takes U+180E, which the tokenizers'
// own regex engines do not.
constexpr const char* gpt2_words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
constexpr const char* llama3_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
constexpr const char* qwen2_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
constexpr const char* tekken_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n/]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
constexpr const char* gpt4o_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n/]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
constexpr const char* deepseek_v3_words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
constexpr const char* deepseek_v3_scripts = R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)";
constexpr const char* one_digit = R"(\p{N})";
constexpr const char* three_digits = R"(\p{N}{1,3})";

struct NamedStages {
  std::vector<std::string_view> names;  // the first is the family's; the others have the same words
  std::vector<const char*> patterns;
};

// "default" and no name at all are what converters wrote before they knew the name: the splits that the GGUF
// format's reference implementation applies to them.
const std::vector<NamedStages>& known_stages() {
  static const std::vector<NamedStages> known = {
      {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"},
       {one_digit, gpt2_words}},
      {{"gpt-2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe"}, {gpt2_words}},
      {{"llama-bpe", "llama3", "llama-v3", "dbrx", "smaug-bpe", "glm4", "chatglm-bpe", "falcon3", "falcon-h1",
        "pixtral", "midm-2.0", "lfm2"},
       {llama3_words}},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"}, {qwen2_words}},
      {{"tekken"}, {tekken_words}},
      {{"gpt-4o", "llama4"}, {gpt4o_words}},
      {{"deepseek-v3"}, {three_digits, deepseek_v3_scripts, deepseek_v3_words}},
      {{"default", ""}, {R"([\p{P}\$\+<=>\^~\|]+)", gpt2_words, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
  return known;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

class PreTokenizer::Pattern {
 public:
  explicit Pattern(const char* source) {
    int error = 0;
    size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source), PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    if (!code_)
      throw Error(Code::internal, fmt::format("pre-tokenizer {}: {}", source, pcre2_message(error)));
    // Without JIT (a hardened kernel may forbid writable code) the interpreter does the same, 6 times slower.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    limits_.reset(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(limits_.get(), 10'000'000);
    pcre2_set_depth_limit(limits_.get(), 1'000);
    pcre2_set_heap_limit(limits_.get(), 64 * 1024);  // KiB
  }

  // Appends the matches and the gaps between them, in order.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const {
    const std::unique_ptr<pcre2_match_data, FreeMatchData> match(pcre2_match_data_create(1, nullptr));
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    size_t done = 0;
    while (done < text.size()) {
      // NO_UTF_CHECK: the text was checked once; PCRE2 would check all of it at every match.
      const int n = pcre2_match(code_.get(), subject, text.size(), done, PCRE2_NO_UTF_CHECK, match.get(),
                                limits_.get());
      if (n == PCRE2_ERROR_NOMATCH) break;
      if (n < 0)
        throw Error(Code::row_bad_request,
                    fmt::format("text cannot be cut into words: {}", pcre2_message(n)));
      const size_t* found = pcre2_get_ovector_pointer(match.get());
      if (found[0] > done) pieces.push_back(text.substr(done, found[0] - done));
      pieces.push_back(text.substr(found[0], found[1] - found[0]));
      done = found[1];
    }
    if (done < text.size()) pieces.push_back(text.substr(done));
  }

 private:
  std::unique_ptr<pcre2_code, FreeCode> code_;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> limits_;
};

PreTokenizer::PreTokenizer(std::string_view name) {
  std::vector<std::string_view> names;
  for (const NamedStages& known : known_stages()) {
    if (std::find(known.names.begin(), known.names.end(), name) != known.names.end()) {
      for (const char* source : known.patterns) stages_.emplace_back(source);
      return;
    }
    for (std::string_view other : known.names) {
      if (!other.empty()) names.push_back(other);
    }
  }
  throw Error(Code::model_unsupported,
              fmt::format("pre-tokenizer \"{}\" is not known (known: {})", name, fmt::join(names, ", ")));
}

PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  for (const Pattern& stage : stages_) {
    std::vector<std::string_view> finer;
    for (std::string_view piece : pieces) stage.split(piece, finer);
    pieces = std::move(finer);
  }
  return pieces;
}

}  // namespace tenure

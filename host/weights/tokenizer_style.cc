#include "weights/tokenizer_style.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "weights/gguf_value.h"

namespace tenure {
namespace {

using nlohmann::json;

constexpr std::string_view blank_mark = "\u2581";  // SentencePiece's sign for a space

// The regular expressions as the published tokenizer.json files spell them.
constexpr const char* gpt2_words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* llama3_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct NamedSplits {
  const char* name;
  std::vector<std::string> steps;  // as step_of() writes them
};

const std::array<NamedSplits, 4>& known_splits() {
  static const std::array<NamedSplits, 4> known = {{
      {"smollm", {"single digits", gpt2_words}},
      {"gpt-2", {gpt2_words}},
      {"llama-bpe", {llama3_words}},
      {"qwen2", {qwen2_words}},
  }};
  return known;
}

class StyleReader {
 public:
  explicit StyleReader(const JsonObject& tokenizer) : tokenizer_(tokenizer) {}

  TokenizerMetadata read() const {
    const JsonObject model = tokenizer_.require_object("model");
    // Files of transformers' first years do not name the type.
    if (const auto type = model.find_string("type"); type.value_or("BPE") != "BPE")
      unsupported("model", fmt::format("of type \"{}\"", printable(*type)), "BPE");
    if (model.find_float("dropout").value_or(0) != 0) unsupported("model.dropout", "not 0", "0");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.find_string(key).value_or("").empty())
        unsupported(fmt::format("model.{}", key), "not empty", "none");
    }
    return model.find_bool("byte_fallback").value_or(false) ? sentence_pieces() : byte_level(model);
  }

 private:
  [[noreturn]] void unsupported(std::string_view what, std::string_view found,
                                std::string_view supported) const {
    tokenizer_.fail(Code::model_unsupported,
                    fmt::format("tokenizer: {} is {}; supported is {}", what, found, supported));
  }

  // The steps of a node that may be null, one step, or a Sequence of them.
  std::vector<JsonObject> steps(std::string_view key, std::string_view list) const {
    const auto node = tokenizer_.find_object(key);
    if (!node) return {};
    if (node->require_string("type") != "Sequence") return {*node};
    const json* members = node->find(list);
    if (!members || !members->is_array())
      tokenizer_.fail(Code::tokenizer_malformed, fmt::format("{} is no array", node->name_of(list)));
    std::vector<JsonObject> found;
    for (const json& member : *members) {
      if (!member.is_object())
        tokenizer_.fail(Code::tokenizer_malformed,
                        fmt::format("{} holds {}", node->name_of(list), member.type_name()));
      found.emplace_back(member, tokenizer_.file(), fmt::format("{}.{}", key, list));
    }
    return found;
  }

  [[noreturn]] void unknown_step(std::string_view key, const JsonObject& step,
                                 std::string_view supported) const {
    unsupported(key, printable(step.value().dump().substr(0, 400)), supported);
  }

  // What a step of the pre_tokenizer splits at.
  std::vector<std::string> splits() const {
    constexpr std::string_view supported = "Digits, Split by a Regex, ByteLevel without a prefixed space";
    std::vector<std::string> found;
    bool ends_in_bytes = false;
    for (const JsonObject& step : steps("pre_tokenizer", "pretokenizers")) {
      const std::string_view type = step.require_string("type");
      if (ends_in_bytes) unknown_step("pre_tokenizer", step, "ByteLevel as the last step");
      if (type == "ByteLevel" && !step.find_bool("add_prefix_space").value_or(true)) {
        ends_in_bytes = true;
        if (step.find_bool("use_regex").value_or(true)) found.emplace_back(gpt2_words);
      } else if (type == "Digits" && step.find_bool("individual_digits").value_or(false)) {
        found.emplace_back("single digits");
      } else if (type == "Split" && step.find_string("behavior").value_or("") == "Isolated" &&
                 !step.find_bool("invert").value_or(false)) {
        found.emplace_back(step.require_object("pattern").require_string("Regex"));
      } else {
        unknown_step("pre_tokenizer", step, supported);
      }
    }
    if (!ends_in_bytes) unsupported("pre_tokenizer", "without ByteLevel", "ByteLevel as the last step");
    return found;
  }

  TokenizerMetadata byte_level(const JsonObject& model) const {
    // NFC is passed over, as it is by GGUF files of the same models: text is nearly always in that form.
    for (const JsonObject& step : steps("normalizer", "normalizers")) {
      if (step.require_string("type") != "NFC") unknown_step("normalizer", step, "none or NFC");
    }
    const std::vector<std::string> found = splits();
    std::string names;
    for (const NamedSplits& known : known_splits()) {
      if (known.steps == found) {
        return {.model = "gpt2",
                .pre = known.name,
                .ignore_merges = model.find_bool("ignore_merges").value_or(false)};
      }
      names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    }
    std::string text;
    for (const std::string& step : found) text += fmt::format("{}{}", text.empty() ? "" : "; ", step);
    unsupported("pre_tokenizer", fmt::format("a split at {}", json(text).dump()),
                fmt::format("that of {}", names));
  }

  // BPE over SentencePiece's spelling: spaces are marked, and bytes without a token have one as "<0x0A>".
  TokenizerMetadata sentence_pieces() const {
    TokenizerMetadata style{.model = "llama"};
    bool marks_blanks = false;
    for (const JsonObject& step : steps("normalizer", "normalizers")) {
      const std::string_view type = step.require_string("type");
      if (type == "Prepend" && step.require_string("prepend") == blank_mark) {
        style.add_space_prefix = true;
        style.add_space_after_special = true;  // each stretch between special tokens is normalized alone
      } else if (type == "Replace" && step.require_string("content") == blank_mark &&
                 step.require_object("pattern").find_string("String").value_or("") == " ") {
        marks_blanks = true;
      } else {
        unknown_step("normalizer", step, "Prepend and Replace of a space by \u2581");
      }
    }
    for (const JsonObject& step : steps("pre_tokenizer", "pretokenizers")) {
      const std::string_view type = step.require_string("type");
      if (type == "Metaspace" && step.find_string("replacement").value_or("") == blank_mark &&
          !step.find_bool("split").value_or(true)) {
        marks_blanks = true;
        read_prefix(step, style);
      } else if (!(type == "Split" && marks_blanks &&
                   step.require_object("pattern").find_string("String").value_or("") == " ")) {
        // A split at spaces finds none where they have been marked.
        unknown_step("pre_tokenizer", step, "none or Metaspace without split");
      }
    }
    if (!marks_blanks) unsupported("normalizer", "without a sign for spaces", "Replace of a space by \u2581");
    return style;
  }

  void read_prefix(const JsonObject& metaspace, TokenizerMetadata& style) const {
    const std::string_view scheme = metaspace.find_string("prepend_scheme").value_or("always");
    if (!metaspace.find_bool("add_prefix_space").value_or(true) || scheme == "never") return;
    if (scheme != "always" && scheme != "first")
      unknown_step("pre_tokenizer", metaspace, "always, first or never");
    style.skips_present_blank = !style.add_space_prefix;  // a Prepend before it has added one in any case
    style.add_space_prefix = true;
    style.add_space_after_special |= scheme == "always";
  }

  const JsonObject& tokenizer_;
};

}  // namespace

TokenizerMetadata read_tokenizer_style(const JsonObject& tokenizer) {
  return StyleReader(tokenizer).read();
}

}  // namespace tenure

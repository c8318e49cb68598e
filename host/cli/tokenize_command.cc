// tenure tokenize: the ids of a text, as a session would feed them.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/commands.h"
#include "cli/streams.h"
#include "error/error.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"
#include "weights/model_source.h"

namespace tenure::cli {
namespace {

std::string standard_input() {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n > 0) {
      text.append(buffer, static_cast<size_t>(n));
    } else if (errno != EINTR) {
      throw Error(Code::input_unreadable,
                  fmt::format("cannot read standard input: {}", std::strerror(errno)));
    }
  }
}

std::string ids_text(const std::vector<int32_t>& ids) {
  return fmt::format("{}\n", fmt::join(ids, " "));
}

// A vocabulary is foreign bytes: what would steer a terminal or end a line, or is no UTF-8, is spelled out.
std::string spelled(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const Utf8Sequence next = read_utf8(piece);
    const std::string_view bytes = piece.substr(0, next.n_bytes);
    const bool is_control = next.value < 0x20 || (next.value >= 0x7f && next.value < 0xa0);
    if (next.status == Utf8Status::valid && !is_control) {
      text += bytes;
    } else {
      for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    piece.remove_prefix(bytes.size());
  }
  return text;
}

std::string pieces_text(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += fmt::format("{:>7}  {}\n", id, spelled(tokenizer.piece(id)));
  return text;
}

int tokenize(const Arguments& arguments) {
  if (!arguments.has("model")) throw Error(Code::usage, "\"tenure tokenize\" needs -m MODEL");
  if (int{arguments.has("ids")} + int{arguments.has("pieces")} + int{arguments.has("count")} > 1) {
    throw Error(Code::usage, "--ids, --pieces and --count exclude each other");
  }
  const Tokenizer tokenizer(ModelSource::open(*arguments.get("model"))->tokenizer());
  const auto prompt = arguments.get("prompt");
  const std::string text = prompt ? *prompt : standard_input();
  const std::vector<int32_t> ids =
      tokenizer.encode(text, arguments.has("special") ? SpecialTokens::parse : SpecialTokens::plain);
  if (arguments.has("count")) {
    print(fmt::format("{}\n", ids.size()));
  } else {
    print(arguments.has("pieces") ? pieces_text(tokenizer, ids) : ids_text(ids));
  }
  return exit_ok;
}

}  // namespace

Command tokenize_command() {
  return {
      .name = "tokenize",
      .summary = "a text's token ids",
      .help =
          "  tenure tokenize -m models/smollm2-135m-instruct.gguf -p \"Hello there\"\n"
          "  tenure tokenize -m MODEL --count < prompt.txt",
      .options = {{.name = "model", .letter = 'm', .argument = "MODEL", .help = "a GGUF file or a model folder"},
                  {.name = "prompt", .letter = 'p', .argument = "TEXT", .help = "the text (standard input)"},
                  {.name = "special", .help = "control tokens spelled out in the text become their ids"},
                  {.name = "ids", .help = "print ids on one line (the default)"},
                  {.name = "pieces", .help = "print a line a token: its id and the vocabulary's spelling"},
                  {.name = "count", .help = "print how many there are"}},
      .run = tokenize};
}

}  // namespace tenure::cli

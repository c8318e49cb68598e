#include "check/notes.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "error/error.h"

namespace tenure {
namespace {

constexpr size_t hook_bytes = 32;  // the verdict comes after it
constexpr size_t most_bytes = 16384;

}  // namespace

Notes::Notes() : descriptor_(memfd_create("tenure-check", 0)) {
  if (descriptor_ < 0) throw Error(Code::internal, std::string("memfd_create: ") + std::strerror(errno));
}

Notes::~Notes() {
  if (is_owner_) ::close(descriptor_);
}

void Notes::write_hook(const char* name) const {
  std::array<char, hook_bytes> text{};
  if (name != nullptr) std::strncpy(text.data(), name, text.size() - 1);
  // A name that is lost costs the crash its place, nothing else.
  if (::pwrite(descriptor_, text.data(), text.size(), 0) < 0) return;
}

void Notes::write_verdict(const Verdict& verdict) const {
  const std::string line = to_line(verdict).substr(0, most_bytes);
  if (::pwrite(descriptor_, line.data(), line.size(), hook_bytes) < 0) return;
}

std::string Notes::hook() const {
  std::array<char, hook_bytes> text{};
  if (::pread(descriptor_, text.data(), text.size() - 1, 0) <= 0) return {};
  return text.data();
}

std::optional<Verdict> Notes::verdict() const {
  std::string line(most_bytes, '\0');
  const ssize_t n = ::pread(descriptor_, line.data(), line.size(), hook_bytes);
  return n <= 0 ? std::nullopt : verdict_of(std::string_view(line).substr(0, static_cast<size_t>(n)));
}

}  // namespace tenure

#include "plugin/status.h"

#include <fmt/format.h>

namespace tenure {
namespace {

constexpr std::string_view names[] = {"OK",          "INVALID_CONFIG", "INVALID_STATE", "UNIMPLEMENTED",
                                      "UNSUPPORTED", "TOO_NEW",        "OOM_HOST",      "OOM_DEVICE",
                                      "DEVICE_LOST", "CANCELLED",      "DEADLINE",      "BAD_PLAN",
                                      "IO",          "EXCEPTION",      "INTERNAL",      "NUMERIC"};

}  // namespace

std::string status_name(tenure_status code) {
  const int64_t index = -static_cast<int64_t>(code);
  if (index < 0 || index >= static_cast<int64_t>(std::size(names))) return fmt::format("status {}", code);
  return std::string(names[index]);
}

std::string to_text(const Status& status) {
  if (status.text.empty()) return fmt::format("{}: {}", status.where, status_name(status.code));
  return fmt::format("{}: {}: {}", status.where, status_name(status.code), status.text);
}

}  // namespace tenure

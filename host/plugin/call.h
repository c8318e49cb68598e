// How the host calls into a plugin: with room for an error, and with a stop for exceptions.
#pragma once

#include <tenure/abi.h>

#include <exception>
#include <string_view>
#include <utility>

#include "error/codes.h"
#include "plugin/status.h"

namespace tenure {

Status failed_call(std::string_view plugin, std::string_view function, tenure_status code,
                   const tenure_error& error);
Status thrown_call(std::string_view plugin, std::string_view function, const char* what);

// call: tenure_status(tenure_error*). Costs nothing but the call when it succeeds.
template <typename Call>
Status call_plugin(std::string_view plugin, std::string_view function, Call&& call) {
  tenure_error error;
  error.head = {.struct_size = sizeof error, .rev = 0, .flags = 0};
  error.code = error.native = 0;
  error.where[0] = error.text[0] = '\0';
  try {
    const tenure_status code = std::forward<Call>(call)(&error);
    return code == TENURE_OK ? Status{} : failed_call(plugin, function, code, error);
  } catch (const std::exception& exception) {
    return thrown_call(plugin, function, exception.what());
  } catch (...) {
    return thrown_call(plugin, function, "of an unknown type");
  }
}

// Writes an error for a plugin that called the host, as far as its struct goes; returns the code.
tenure_status tell_plugin(tenure_error* error, tenure_status code, std::string_view where, std::string_view text);

// For set-up calls: throws Error with the code that fits the status; `unsupported` for what the plugin cannot
// do.
void throw_unless_ok(const Status&, Code unsupported = Code::plugin_refused);

}  // namespace tenure

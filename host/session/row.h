// A session's outcome as a result row.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "record/request.h"
#include "record/row.h"
#include "session/result.h"
#include "session/script.h"

namespace tenure {

// What the row says of the place it came from.
struct RowOrigin {
  std::string cell;
  std::vector<std::pair<std::string, AxisValue>> axes;
  std::string stage;
  std::string determinism = "fast";
  int64_t attempt = 1;
  bool scores = false;  // a score stage: perplexity and accuracy over the whole row
};

ResultRow make_row(const Request& request, const SessionScript& script, SessionResult&& result, const RowOrigin& origin);
// A row for a request that never became a session.
ResultRow make_error_row(const std::string& id, const std::string& policy, RowError error, const RowOrigin& origin);

}  // namespace tenure

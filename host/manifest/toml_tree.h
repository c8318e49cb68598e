// The one call into toml++.
#pragma once

#include "manifest/toml_document.h"

namespace tenure {

// The text has passed refuse_toml(). Throws Error{toml_syntax}.
TomlValue parse_toml_tree(const SourceText&);

}  // namespace tenure

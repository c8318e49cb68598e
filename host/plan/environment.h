// ${NAME} and ${NAME:-default} inside string values.
#pragma once

#include "manifest/toml_document.h"
#include "plan/load.h"

namespace tenure {

// Replaces in every string value of the tree, never in keys; "$${" stands for "${". Throws one
// Error{unset_variable} that lists all unset names with their places.
void substitute_variables(TomlValue& root, const Environment&);

}  // namespace tenure

// What labels are made with: the backend's products and the threads that plugins share.
#pragma once

#include "plugin/backend.h"
#include "plugin/host_services.h"
#include "train/labels.h"

namespace tenure {

// Throws Error (backend_unsupported) when the backend lends none; the result, when a product fails. The backend outlives it.
Multiply multiply_by(const Backend& backend);
ForEach for_each_on(const Executor& executor);

}  // namespace tenure

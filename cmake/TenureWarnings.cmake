# Warnings are errors in every target of ours; sanitizers, where a preset asks, go everywhere too.
add_library(tenure_options INTERFACE)
target_compile_options(tenure_options INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wno-missing-field-initializers
                                         -fvisibility=hidden)
# g++ 12 at -O3 sees overlaps in every `"literal" + std::string` (GCC bug 105651), and uninitialised strings where a braced
# aggregate has a conditional in it; -Wuninitialized and the sanitizers look for real ones.
target_compile_options(tenure_options INTERFACE
                       $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique;-Wno-restrict;-Wno-maybe-uninitialized>)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(tenure_options INTERFACE _GLIBCXX_ASSERTIONS)
  target_compile_options(tenure_options INTERFACE -fstack-protector-strong)
endif()
if(TENURE_SANITIZE)
  # -fno-sanitize=vptr: oneTBB's flow graph trips a false report (its _flow_graph_impl.h casts before construction ends).
  set(tenure_sanitize_flags -fsanitize=${TENURE_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer)
  if(TENURE_SANITIZE STREQUAL "thread")
    set(tenure_sanitize_flags -fsanitize=thread -fno-omit-frame-pointer)
  endif()
  target_compile_options(tenure_options INTERFACE ${tenure_sanitize_flags} -fno-sanitize-recover=all)
  target_link_options(tenure_options INTERFACE ${tenure_sanitize_flags})
endif()

# Attention, RoPE and cache ops: sources and the instruction set each is built for. One table of kernels a file; which is
# used is decided at run time (choose_attend_kernels). Optimised in every build type, as the other kernels.
set(TENURE_ATTENTION_SOURCES attend.cc attend_work.cc attend_scalar.cc attend_avx2.cc attend_avx512.cc
                             attend_avx512_bf16.cc attend_amx.cc cache_append.cc cache_move.cc cached_slot.cc
                             rope.cc)

# GCC 12 takes its own _mm512_undefined_*() for uninitialised reads (GCC PR 105593).
set(attention_avx512_flags -O3 -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -Wno-uninitialized
                           -Wno-maybe-uninitialized)
set_source_files_properties(attend_scalar.cc PROPERTIES COMPILE_OPTIONS -O3)
set_source_files_properties(attend_avx2.cc PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mfma;-mf16c")
set_source_files_properties(attend_avx512.cc PROPERTIES COMPILE_OPTIONS "${attention_avx512_flags}")
set(attention_bf16_flags ${attention_avx512_flags} -mavx512bf16 -mavx512vnni)  # no CPU has only the former
set_source_files_properties(attend_avx512_bf16.cc PROPERTIES COMPILE_OPTIONS "${attention_bf16_flags}")
set_source_files_properties(attend_amx.cc PROPERTIES COMPILE_OPTIONS "${attention_bf16_flags};-mamx-tile;-mamx-bf16")

// The keepset that a policy under test speaks into: notes every verb that breaks a rule, then passes it on to
// the host's.
#pragma once

#include <tenure/policy.h>

#include <cstdint>
#include <functional>
#include <string>

#include "check/rules.h"

namespace tenure {

// FNV-1a, of everything a policy said or saw.
class Digest {
 public:
  void add(const void* bytes, size_t n) {
    for (size_t i = 0; i < n; ++i)
      value_ = (value_ ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3u;
  }
  template <typename T>
  void add_number(T value) {
    add(&value, sizeof value);
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

class WatchedKeepset {
 public:
  enum class Hook : uint8_t { none, observe, select, prepare };
  // rule, and what broke it
  using OnBreach = std::function<void(Rule, std::string)>;

  explicit WatchedKeepset(OnBreach on_breach);
  WatchedKeepset(const WatchedKeepset&) = delete;
  WatchedKeepset& operator=(const WatchedKeepset&) = delete;

  // spoilt: the evidence was made NaN, so scores may be, and the host is the one to refuse them.
  struct Call {
    Hook hook = Hook::none;
    uint32_t layer = 0;
    const tenure_view* view = nullptr;
    tenure_keepset* host = nullptr;
    bool spoilt = false;
    uint32_t max_rebuild_rows = 0;
    int64_t* heap_of_host = nullptr;  // grows by what the host takes from the heap; NULL: nobody asks
  };
  tenure_keepset* open(const Call& call);
  // From now on a verb is one too late.
  void close() { call_.hook = Hook::none; }

  const Call& call() const { return call_; }
  const Digest& said() const { return said_; }

 private:
  static tenure_status score(tenure_keepset*, uint32_t layer, const float* const* scores,
                             const uint32_t* n_keep, tenure_error*);
  static tenure_status keep(tenure_keepset*, uint32_t layer, const uint32_t* offsets, const uint32_t* slots,
                            tenure_error*);
  static tenure_status rebuild(tenure_keepset*, int32_t first_pos, uint32_t n, tenure_error*);
  template <typename Verb>
  tenure_status pass_on(Verb&& verb);
  bool is_in_place(const char* verb, uint32_t layer);
  void judge_scores(const float* const* scores, const uint32_t* n_keep);
  void judge_kept(const uint32_t* offsets, const uint32_t* slots);
  bool judge_head(uint32_t head, const uint32_t* slots, uint32_t n, uint64_t& n_counted);
  void judge_rebuild(int32_t first_pos, uint32_t n);
  uint64_t budget() const;  // of all heads; UINT64_MAX = none
  std::string place() const;

  OnBreach on_breach_;
  tenure_keepset abi_;
  Call call_;
  uint64_t n_rebuilt_ = 0;
  Digest said_;
};

}  // namespace tenure

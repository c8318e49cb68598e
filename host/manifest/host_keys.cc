#include "manifest/host_keys.h"

#include <fmt/format.h>

#include "manifest/table_reader.h"

namespace tenure {
namespace {

using Kind = TomlValue::Kind;

std::optional<Budget> read_budget(TableReader& table) {
  constexpr std::string_view wanted =
      "slots (512), a fraction of the request's tokens (\"1/8\") or bytes (\"24 MiB\")";
  const TomlMember* member = table.take("budget");
  if (!member) return std::nullopt;
  const TomlValue& value = member->value;
  if (value.is(Kind::integer)) {
    if (value.integer >= 1) return Budget{BudgetKind::slots, static_cast<uint64_t>(value.integer), {}};
    table.out_of_range(*member, fmt::format("{}", value.integer), "at least 1 slot");
    return std::nullopt;
  }
  if (!value.is(Kind::string)) {
    table.wrong_type(*member, wanted);
    return std::nullopt;
  }
  if (const auto fraction = parse_fraction(value.string)) {
    if (in_range(*fraction)) return Budget{BudgetKind::fraction, 0, *fraction};
    table.out_of_range(*member, value.string, "a fraction above 0 and at most 1");
    return std::nullopt;
  }
  if (const auto bytes = parse_size(value.string)) {
    if (*bytes > 0) return Budget{BudgetKind::bytes, *bytes, {}};
    table.out_of_range(*member, value.string, "more than 0 bytes");
    return std::nullopt;
  }
  table.bad_value(*member, wanted);
  return std::nullopt;
}

std::optional<SlotShare> read_share(TableReader& table, std::string_view key) {
  constexpr std::string_view wanted = "slots (4) or a fraction of the budget (\"1/4\")";
  const TomlMember* member = table.take(key);
  if (!member) return std::nullopt;
  const TomlValue& value = member->value;
  if (value.is(Kind::integer)) {
    if (value.integer >= 0) return SlotShare{false, static_cast<uint64_t>(value.integer), {}};
    table.out_of_range(*member, fmt::format("{}", value.integer), "0 slots or more");
    return std::nullopt;
  }
  if (!value.is(Kind::string)) {
    table.wrong_type(*member, wanted);
    return std::nullopt;
  }
  const auto fraction = parse_fraction(value.string);
  if (!fraction) {
    table.bad_value(*member, wanted);
    return std::nullopt;
  }
  if (in_range(*fraction)) return SlotShare{true, 0, *fraction};
  table.out_of_range(*member, value.string, "a fraction above 0 and at most 1");
  return std::nullopt;
}

}  // namespace

uint64_t SlotShare::of_budget(uint64_t budget_slots) const {
  return is_fraction ? fraction.rounded_down(budget_slots) : count;
}

std::string to_text(const Budget& budget) {
  switch (budget.kind) {
    case BudgetKind::none:
      return "none";
    case BudgetKind::slots:
      return fmt::format("{}", budget.amount);
    case BudgetKind::fraction:
      return to_text(budget.fraction);
    case BudgetKind::bytes:
      return size_text(budget.amount);
  }
  return "?";
}

std::string to_text(const SlotShare& share) {
  return share.is_fraction ? to_text(share.fraction) : fmt::format("{}", share.count);
}

const std::vector<std::string>& host_key_names() {
  static const std::vector<std::string> names = {
      "plugin",  "chunk",  "budget",   "budget_scope",  "budget_floor", "budget_of",
      "kv_type", "k_type", "v_type",   "positions",     "when",         "period",
      "slack",   "n_sink", "n_recent", "n_stabilizers", "n_local",      "query_prefix",
      "inner",   "on_plugin_error"};
  return names;
}

HostKeys read_host_keys(TableReader& table) {
  HostKeys keys;
  keys.chunk = table.count("chunk", 1, 1'000'000);
  keys.budget = read_budget(table);
  keys.budget_scope = table.choice<BudgetScope>("budget_scope");
  keys.budget_floor = table.number("budget_floor", 0, 1);
  keys.budget_of = table.choice<BudgetOf>("budget_of");
  keys.kv_type = table.choice<Dtype>("kv_type");
  keys.k_type = table.choice<Dtype>("k_type");
  keys.v_type = table.choice<Dtype>("v_type");
  keys.positions = table.choice<PositionMode>("positions");
  keys.when = table.choice_list<Phase>("when");
  keys.period = table.count("period", 1, 1'000'000);
  keys.slack = table.count("slack", 0, 1'000'000);
  keys.n_sink = read_share(table, "n_sink");
  keys.n_recent = read_share(table, "n_recent");
  keys.n_stabilizers = read_share(table, "n_stabilizers");
  keys.n_local = read_share(table, "n_local");
  keys.query_prefix = table.count("query_prefix", 0, 1'000'000);
  keys.inner = table.text("inner");
  keys.on_plugin_error = table.choice<OnPluginError>("on_plugin_error");
  return keys;
}

}  // namespace tenure

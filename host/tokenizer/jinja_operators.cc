#include "tokenizer/jinja_operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tokenizer/jinja_text.h"

namespace tenure::jinja {
namespace {

std::optional<int64_t> as_integer(const Value& value) {
  if (const auto* flag = value.as<bool>()) return *flag ? 1 : 0;
  if (const auto* integer = value.as<int64_t>()) return *integer;
  return std::nullopt;
}

std::optional<double> as_float(const Value& value) {
  if (const auto* number = value.as<double>()) return *number;
  if (const auto integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

constexpr std::string_view symbols[] = {"+", "-", "*", "/", "//", "%"};

[[noreturn]] void mismatch(Operator op, const Value& left, const Value& right) {
  throw Failure(fmt::format("{} {} {} is not possible", type_name(left), symbols[static_cast<size_t>(op)],
                            type_name(right)));
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value integer_arithmetic(Operator op, int64_t a, int64_t b) {
  const bool divides = op == Operator::divide || op == Operator::floor_divide || op == Operator::modulo;
  if (divides && b == 0) throw Failure("division by zero");
  if (op == Operator::divide) return {static_cast<double>(a) / static_cast<double>(b)};
  int64_t result = 0;
  bool overflows = false;
  if (op == Operator::add) overflows = __builtin_add_overflow(a, b, &result);
  if (op == Operator::subtract) overflows = __builtin_sub_overflow(a, b, &result);
  if (op == Operator::multiply) overflows = __builtin_mul_overflow(a, b, &result);
  if (divides) {
    overflows = b == -1 && a == INT64_MIN;
    if (!overflows) result = op == Operator::floor_divide ? floor_divide(a, b) : a - b * floor_divide(a, b);
  }
  if (overflows) throw Failure("an integer beyond 64 bits");
  return {result};
}

Value float_arithmetic(Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return {a + b};
    case Operator::subtract:
      return {a - b};
    case Operator::multiply:
      return {a * b};
    default:
      break;
  }
  if (b == 0) throw Failure("division by zero");
  if (op == Operator::divide) return {a / b};
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  return {op == Operator::modulo ? remainder : std::round((a - remainder) / b)};
}

Value arithmetic(Operator op, const Value& left, const Value& right) {
  const auto a = as_integer(left);
  const auto b = as_integer(right);
  if (a && b) return integer_arithmetic(op, *a, *b);
  const auto x = as_float(left);
  const auto y = as_float(right);
  if (x && y) return float_arithmetic(op, *x, *y);
  if (op == Operator::add && left.is<std::string>() && right.is<std::string>()) {
    std::string joined = *left.as<std::string>();
    append_bounded(joined, *right.as<std::string>());
    return {joined};
  }
  if (op == Operator::add && left.is<List>() && right.is<List>()) {
    Items items = *left.as<List>()->items;
    const Items& more = *right.as<List>()->items;
    items.insert(items.end(), more.begin(), more.end());
    return make_list(std::move(items));
  }
  if (op == Operator::multiply && left.is<std::string>() && b) {
    std::string repeated;
    if (!left.as<std::string>()->empty()) {
      for (int64_t i = 0; i < *b; ++i) append_bounded(repeated, *left.as<std::string>());
    }
    return {repeated};
  }
  mismatch(op, left, right);
}

// Python's clamping of slice ends.
int64_t clamp_index(int64_t index, int64_t n, int64_t low, int64_t high) {
  if (index < 0) index = index < -n ? low : index + n;
  return std::clamp(index, low, high);
}

std::vector<size_t> slice_indices(const SliceBounds& bounds, int64_t n) {
  const int64_t step = bounds.step.value_or(1);
  if (step == 0) throw Failure("a slice's step is zero");
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? n : n - 1;
  const int64_t begin = bounds.begin ? clamp_index(*bounds.begin, n, low, high) : (step > 0 ? low : high);
  const int64_t end = bounds.end ? clamp_index(*bounds.end, n, low, high) : (step > 0 ? high : low);
  std::vector<size_t> indices;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    indices.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return indices;
}

}  // namespace

Value apply(Operator op, const Value& left, const Value& right) {
  switch (op) {
    case Operator::equal:
      return {equal(left, right)};
    case Operator::not_equal:
      return {!equal(left, right)};
    case Operator::less:
      return {less(left, right)};
    case Operator::less_equal:
      return {less(left, right) || equal(left, right)};
    case Operator::greater:
      return {less(right, left)};
    case Operator::greater_equal:
      return {less(right, left) || equal(left, right)};
    case Operator::in:
      return {contains(right, left)};
    case Operator::not_in:
      return {!contains(right, left)};
    default:
      return arithmetic(op, left, right);
  }
}

Value negate(const Value& value) {
  if (const auto integer = as_integer(value)) return integer_arithmetic(Operator::subtract, 0, *integer);
  if (const auto* number = value.as<double>()) return {-*number};
  throw Failure(fmt::format("- {} is not possible", type_name(value)));
}

Value attribute(const Value& subject, const std::string& name) {
  if (const auto* dict = subject.as<Dict>()) {
    const Value* field = find_field(*dict, name);
    return field ? *field : Value{};
  }
  if (const auto* space = subject.as<Namespace>()) {
    const auto found = space->attributes->find(name);
    return found == space->attributes->end() ? Value{} : found->second;
  }
  if (subject.is<Undefined>()) throw Failure(fmt::format("undefined has no attribute \"{}\"", name));
  return {};
}

Value subscript(const Value& subject, const Value& index) {
  if (const auto* key = index.as<std::string>()) return attribute(subject, *key);
  if (subject.is<Undefined>()) throw Failure("undefined has no elements");
  const auto position = as_integer(index);
  if (!position) return {};
  int64_t i = *position;
  if (const auto* list = subject.as<List>()) {
    const auto n = static_cast<int64_t>(list->items->size());
    if (i < 0) i += n;
    return i >= 0 && i < n ? (*list->items)[static_cast<size_t>(i)] : Value{};
  }
  const auto* text = subject.as<std::string>();
  if (!text) return {};
  const std::vector<size_t> offsets = code_point_offsets(*text);
  const auto n = static_cast<int64_t>(offsets.size()) - 1;
  if (i < 0) i += n;
  if (i < 0 || i >= n) return {};
  const size_t begin = offsets[static_cast<size_t>(i)];
  return {text->substr(begin, offsets[static_cast<size_t>(i) + 1] - begin)};
}

Value slice(const Value& subject, const SliceBounds& bounds) {
  if (const auto* list = subject.as<List>()) {
    Items items;
    for (size_t i : slice_indices(bounds, static_cast<int64_t>(list->items->size())))
      items.push_back((*list->items)[i]);
    return make_list(std::move(items));
  }
  const auto* text = subject.as<std::string>();
  if (!text) throw Failure(fmt::format("{} cannot be sliced", type_name(subject)));
  const std::vector<size_t> offsets = code_point_offsets(*text);
  std::string part;
  for (size_t i : slice_indices(bounds, static_cast<int64_t>(offsets.size()) - 1)) {
    part.append(*text, offsets[i], offsets[i + 1] - offsets[i]);
  }
  return {part};
}

}  // namespace tenure::jinja

#include "tokenizer/jinja_evaluator.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "error/error.h"
#include "tokenizer/jinja_operators.h"
#include "tokenizer/jinja_variables.h"

namespace tenure::jinja {
namespace {

using Kind = Expression::Kind;

struct Loop {
  const Items* items;
  size_t index = 0;
};

class Evaluator {
 public:
  Evaluator(const Fields& globals, std::string_view source) : source_(source), variables_(globals) {}

  std::string run(const std::vector<Statement>& statements) {
    execute(statements);
    return std::move(output_);
  }

 private:
  // ---- statements

  void execute(const std::vector<Statement>& statements) {
    for (const Statement& statement : statements) {
      try {
        execute(statement);
      } catch (const Failure& failure) {
        fail(statement.at, failure.what());
      }
    }
  }

  void execute(const Statement& statement) {
    switch (statement.kind) {
      case Statement::Kind::text:
        return print(statement.text);
      case Statement::Kind::print:
        return print(to_text(evaluate(*statement.value)));
      case Statement::Kind::conditional:
        return execute_conditional(statement);
      case Statement::Kind::loop:
        return execute_loop(statement);
      case Statement::Kind::assign:
        return bind(statement.targets, evaluate(*statement.value));
      case Statement::Kind::assign_attribute:
        return assign_attribute(statement);
      case Statement::Kind::capture:
        return capture(statement);
    }
  }

  void print(std::string_view text) {
    charge(text.size());
    append_bounded(output_, text);
  }

  void execute_conditional(const Statement& statement) {
    for (const Branch& branch : statement.branches) {
      if (!branch.condition || truthy(evaluate(*branch.condition))) return execute(branch.body);
    }
  }

  void execute_loop(const Statement& statement) {
    const Value iterated = evaluate(*statement.value);
    charge(weight(iterated));
    Items items = elements(iterated);
    variables_.open_scope();
    if (statement.condition) {
      std::erase_if(items, [&](const Value& item) {
        step();
        bind(statement.targets, item);
        return !truthy(evaluate(*statement.condition));
      });
    }
    loops_.push_back({&items});
    for (const Value& item : items) {
      step();
      variables_.clear_scope();  // what an iteration sets ends with it
      bind(statement.targets, item);
      execute(statement.body);
      ++loops_.back().index;
    }
    loops_.pop_back();
    variables_.close_scope();
    if (items.empty()) execute(statement.otherwise);
  }

  void bind(const std::vector<std::string>& targets, const Value& value) {
    if (targets.size() == 1) return variables_.assign(targets.front(), value);
    const Items parts = elements(value);
    if (parts.size() != targets.size()) {
      throw Failure(fmt::format("{} values for {} names", parts.size(), targets.size()));
    }
    for (size_t i = 0; i < parts.size(); ++i) variables_.assign(targets[i], parts[i]);
  }

  void assign_attribute(const Statement& statement) {
    const Value* target = variables_.find(statement.targets.front());
    const auto* space = target ? target->as<Namespace>() : nullptr;
    if (!space) throw Failure(fmt::format("{} is not a namespace", statement.targets.front()));
    const Value value = evaluate(*statement.value);
    // No namespace inside another: there are no cycles.
    if (value.is<Namespace>()) throw Failure("a namespace cannot be put into a namespace");
    (*space->attributes)[statement.text] = value;
  }

  void capture(const Statement& statement) {
    std::string outer;
    std::swap(outer, output_);
    variables_.open_scope();
    execute(statement.body);
    variables_.close_scope();
    std::swap(outer, output_);
    variables_.assign(statement.targets.front(), {std::move(outer)});
  }

  // ---- expressions

  Value evaluate(const Expression& expression) {
    try {
      Value value = compute(expression);
      if (value.is<std::string>()) charge(weight(value));
      return value;
    } catch (const Failure& failure) {
      fail(expression.at, failure.what());
    }
  }

  Value child(const Expression& expression, size_t i) {
    const ExpressionPtr& operand = expression.children[i];
    return operand ? evaluate(*operand) : Value{};
  }

  Value compute(const Expression& expression) {
    switch (expression.kind) {
      case Kind::literal:
        return expression.literal;
      case Kind::name:
        return compute_name(expression);
      case Kind::loop_field:
        return compute_loop_field(expression.text);
      case Kind::list:
        return make_list(all_children(expression));
      case Kind::dict:
        return compute_dict(expression);
      case Kind::attribute:
        return attribute(child(expression, 0), expression.text);
      case Kind::subscript:
        return compute_subscript(expression);
      case Kind::slice:
        return compute_slice(expression);
      case Kind::builtin:
      case Kind::test:
        return compute_builtin(expression);
      case Kind::negative:
        return negate(child(expression, 0));
      case Kind::logical_not:
        return {!truthy(child(expression, 0))};
      case Kind::logical_and:
        return first_that_is(false, expression);
      case Kind::logical_or:
        return first_that_is(true, expression);
      case Kind::comparison:
        return compute_comparison(expression);
      case Kind::arithmetic:
        return compute_arithmetic(expression);
      case Kind::concatenation:
        return compute_concatenation(expression);
      case Kind::conditional:
        return truthy(child(expression, 0)) ? child(expression, 1) : child(expression, 2);
      case Kind::make_namespace:
        return compute_namespace(expression);
      case Kind::range:
        return compute_range(expression);
      case Kind::raise_exception:
        refuse(to_text(child(expression, 0)));
      case Kind::clock:
        throw Failure("strftime_now() is not supported: a prompt must not depend on the clock");
    }
    return {};
  }

  [[noreturn]] static void refuse(const std::string& why) {
    const bool is_silent = *why.c_str() == '\0';  // what() ends at the first NUL
    throw Failure(is_silent ? "the template refuses these messages and does not say why" : why);
  }

  Value compute_name(const Expression& expression) {
    const Value* value = variables_.find(expression.text);
    return value ? *value : Value{};
  }

  Value compute_loop_field(std::string_view field) {
    const Loop& loop = loops_.back();
    const auto index = static_cast<int64_t>(loop.index);
    const auto n = static_cast<int64_t>(loop.items->size());
    if (field == "index") return {index + 1};
    if (field == "index0") return {index};
    if (field == "revindex") return {n - index};
    if (field == "revindex0") return {n - index - 1};
    if (field == "first") return {index == 0};
    if (field == "last") return {index + 1 == n};
    if (field == "length") return {n};
    if (field == "depth") return {static_cast<int64_t>(1)};  // only recursive loops go deeper
    if (field == "depth0") return {static_cast<int64_t>(0)};
    if (field == "previtem") return index > 0 ? (*loop.items)[loop.index - 1] : Value{};
    return index + 1 < n ? (*loop.items)[loop.index + 1] : Value{};  // nextitem
  }

  Items all_children(const Expression& expression) {
    Items items;
    for (size_t i = 0; i < expression.children.size(); ++i) items.push_back(child(expression, i));
    return items;
  }

  Value compute_dict(const Expression& expression) {
    Fields fields;
    for (size_t i = 0; i < expression.children.size(); i += 2) {
      const Value key = child(expression, i);
      const auto* name = key.as<std::string>();
      if (!name) throw Failure(fmt::format("a dict's key must be a string, not {}", type_name(key)));
      Value value = child(expression, i + 1);
      const auto known =
          std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == *name; });
      if (known != fields.end()) {
        known->second = std::move(value);
      } else {
        fields.emplace_back(*name, std::move(value));
      }
    }
    return make_dict(std::move(fields));
  }

  Value compute_subscript(const Expression& expression) {
    const Value subject = child(expression, 0);
    return subscript(subject, child(expression, 1));
  }

  Value compute_slice(const Expression& expression) {
    const Value subject = child(expression, 0);
    charge(weight(subject));
    std::array<std::optional<int64_t>, 3> bounds;
    for (size_t i = 0; i < 3; ++i) {
      const Value bound = child(expression, i + 1);
      if (bound.is<Undefined>() || bound.is<None>()) continue;
      const auto* integer = bound.as<int64_t>();
      if (!integer)
        throw Failure(fmt::format("a slice's bound must be an integer, not {}", type_name(bound)));
      bounds[i] = *integer;
    }
    return slice(subject, {bounds[0], bounds[1], bounds[2]});
  }

  Value compute_builtin(const Expression& expression) {
    const Value self = child(expression, 0);
    std::array<Value, Builtin::max_parameters> arguments;
    const size_t n_arguments = expression.children.size() - 1;
    charge(weight(self));
    for (size_t i = 0; i < n_arguments; ++i) {
      arguments[i] = child(expression, i + 1);
      charge(weight(arguments[i]));
    }
    Value result = expression.builtin->function(self, std::span(arguments).first(n_arguments));
    charge(weight(result));
    return expression.negated ? Value{!truthy(result)} : result;
  }

  // What Python's `and` and `or` give: the operand that decides.
  Value first_that_is(bool wanted, const Expression& expression) {
    for (size_t i = 0; i + 1 < expression.children.size(); ++i) {
      Value value = child(expression, i);
      if (truthy(value) == wanted) return value;
    }
    return child(expression, expression.children.size() - 1);
  }

  Value compute_comparison(const Expression& expression) {
    Value left = child(expression, 0);
    for (size_t i = 0; i < expression.operators.size(); ++i) {
      Value right = child(expression, i + 1);
      charge(weight(left) + weight(right));
      if (!truthy(apply(expression.operators[i], left, right))) return {false};
      left = std::move(right);
    }
    return {true};
  }

  Value compute_arithmetic(const Expression& expression) {
    Value result = child(expression, 0);
    for (size_t i = 0; i < expression.operators.size(); ++i) {
      result = apply(expression.operators[i], result, child(expression, i + 1));
      charge(weight(result));
    }
    return result;
  }

  Value compute_concatenation(const Expression& expression) {
    std::string joined;
    for (size_t i = 0; i < expression.children.size(); ++i)
      append_bounded(joined, to_text(child(expression, i)));
    return {joined};
  }

  Value compute_namespace(const Expression& expression) {
    auto attributes = std::make_shared<std::map<std::string, Value>>();
    for (size_t i = 0; i < expression.names.size(); ++i) {
      Value value = child(expression, i);
      if (value.is<Namespace>()) throw Failure("a namespace cannot be put into a namespace");
      (*attributes)[expression.names[i]] = std::move(value);
    }
    return {Namespace{std::move(attributes)}};
  }

  Value compute_range(const Expression& expression) {
    std::array<int64_t, 3> numbers{};
    for (size_t i = 0; i < expression.children.size(); ++i) {
      const Value value = child(expression, i);
      const auto* integer = value.as<int64_t>();
      if (!integer) throw Failure(fmt::format("range() takes integers, not {}", type_name(value)));
      numbers[i] = *integer;
    }
    const bool one = expression.children.size() == 1;
    const int64_t end = one ? numbers[0] : numbers[1];
    const int64_t by = expression.children.size() == 3 ? numbers[2] : 1;
    if (by == 0) throw Failure("range(): the step is zero");
    Items items;
    for (int64_t i = one ? 0 : numbers[0]; by > 0 ? i < end : i > end;) {
      step();
      items.emplace_back().data = i;
      if (__builtin_add_overflow(i, by, &i)) break;
    }
    return make_list(std::move(items));
  }

  // ---- bounds

  void step() {
    if (++n_steps_ > Limits::loop_steps)
      throw Failure(fmt::format("more than {} loop steps", Limits::loop_steps));
  }

  void charge(size_t bytes) {
    work_ += bytes;
    if (work_ > Limits::work_bytes)
      throw Failure(fmt::format("more than {} MiB of text handled", Limits::work_bytes >> 20));
  }

  [[noreturn]] void fail(Position at, std::string text) const {
    std::string_view line = source_;
    for (uint32_t i = 1; i < at.line; ++i) line.remove_prefix(line.find('\n') + 1);
    throw Error({.code = Code::template_failed,
                 .text = std::move(text),
                 .where = {.file = "chat template", .line = at.line, .column = at.column},
                 .source_line = std::string(line.substr(0, line.find('\n'))),
                 .span = 1});
  }

  std::string_view source_;
  std::string output_;
  Variables variables_;
  std::vector<Loop> loops_;
  size_t n_steps_ = 0;
  size_t work_ = 0;
};

}  // namespace

std::string evaluate(const std::vector<Statement>& statements, const Fields& globals,
                     std::string_view source) {
  return Evaluator(globals, source).run(statements);
}

}  // namespace tenure::jinja

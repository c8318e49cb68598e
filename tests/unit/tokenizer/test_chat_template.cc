#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "cpu_time.h"
#include "error/error.h"
#include "tokenizer/chat_template.h"
#include "unit/tokenizer/chat_seeds.h"

using namespace tenure;

namespace {

std::string render(std::string_view source, std::vector<ChatMessage> messages = {{"user", "Hi"}}) {
  return ChatTemplate(source, "<s>", "</s>").render(messages, ChatEnd::messages);
}

// The first diagnostic's code and place, as "321 2:5".
std::string error_of(std::string_view source) {
  try {
    render(source);
  } catch (const Error& error) {
    const Diagnostic& first = error.diagnostics().front();
    return std::to_string(static_cast<int>(first.code)) + " " + std::to_string(first.where.line) + ":" +
           std::to_string(first.where.column);
  }
  return "no error";
}

std::string times(size_t n, std::string_view text) {
  std::string repeated;
  for (size_t i = 0; i < n; ++i) repeated += text;
  return repeated;
}

}  // namespace

// tests/golden/chat_goldens.py: rendered by jinja2.
TEST_CASE("chat template - renders what jinja2 renders, and refuses what it refuses") {
  std::ifstream file("tests/data/chat_goldens.jsonl");
  REQUIRE(file);
  int n_optional_rendered = 0;
  int n_optional = 0;
  for (std::string line; std::getline(file, line);) {
    const auto golden = nlohmann::json::parse(line);
    std::vector<ChatMessage> messages;
    for (const auto& message : golden["messages"]) messages.push_back({message["role"], message["content"]});
    const std::string source = source_of(golden);
    const ChatEnd end = golden["add_generation_prompt"] ? ChatEnd::open_assistant : ChatEnd::messages;
    CAPTURE(source);
    const auto rendered = [&] { return ChatTemplate(source, "<s>", "</s>").render(messages, end); };
    if (golden.contains("error")) {
      CHECK_THROWS_AS(rendered(), Error);
    } else if (golden["required"]) {
      std::string text;
      REQUIRE_NOTHROW(text = rendered());
      CHECK(text == golden["expected"].get<std::string>());
    } else {
      ++n_optional;
      try {
        const std::string text = rendered();
        CHECK(text == golden["expected"].get<std::string>());
        ++n_optional_rendered;
      } catch (const Error& error) {
        CHECK((error.code() == Code::template_unsupported || error.code() == Code::template_failed));
      }
    }
  }
  CHECK(n_optional_rendered * 4 >= n_optional * 3);
}

TEST_CASE("chat template - an unknown construct is refused when the template is read, with its place") {
  CHECK(error_of("ok\n  {{ messages | sort }}") == "321 2:17");
  CHECK(error_of("{% macro f() %}{% endmacro %}") == "321 1:4");
  CHECK(error_of("{% if false %}{{ 1 is divisibleby }}{% endif %}") == "321 1:23");
  CHECK(error_of("{% if false %}{{ 'x'.encode() }}{% endif %}") == "321 1:22");
  CHECK(error_of("{% if false %}{{ cycler('a') }}{% endif %}") == "321 1:18");
  CHECK(error_of("{% for m in messages recursive %}{% endfor %}") == "321 1:22");
  CHECK(error_of("{% for m in messages %}{{ loop.changed(1) }}{% endfor %}") == "321 1:27");
  CHECK(error_of("a\n{{ 'x' | replace('a') }}") == "321 2:8");
  CHECK(error_of("{{ 'x' | trim(1, 2) }}") == "321 1:18");
  CHECK(error_of("{{ 'x' | tojson(sort_keys=true) }}") == "321 1:17");
  CHECK(error_of("{{ 'x'.strip }}{{ strftime_now('%Y') }}") == "321 1:19");
  CHECK(error_of("{% if x %}") == "321 1:1");
  CHECK(error_of("{{ $ }}") == "321 1:4");
}

TEST_CASE("chat template - what fails for these messages says where") {
  CHECK(error_of("\n{{ raise_exception('no') }}") == "322 2:4");
  CHECK(error_of("{{ a.b.c }}") == "322 1:5");
  CHECK(error_of("{{ 'a' + 1 }}") == "322 1:4");
  CHECK(error_of("{{ 9223372036854775807 + 1 }}") == "322 1:4");
  CHECK(error_of("{{ messages }}") == "322 1:1");
  CHECK(error_of("{{ x | items | length }}{{ x.items() }}") == "322 1:29");
  CHECK(error_of("{% if 1 if 2 else 3 %}{% endif %}") == "321 1:9");
  try {
    render("{{ raise_exception('roles must alternate') }}");
    FAIL("raise_exception must raise");
  } catch (const Error& error) {
    CHECK(error.diagnostics().front().text == "roles must alternate");
    CHECK(error.diagnostics().front().source_line == "{{ raise_exception('roles must alternate') }}");
  }
}

TEST_CASE("chat template - a refusal without words still says something") {
  try {
    render("{{ raise_exception('') }}");
    FAIL("raise_exception must raise");
  } catch (const Error& error) {
    CHECK(error.diagnostics().front().text == "the template refuses these messages and does not say why");
  }
}

TEST_CASE("chat template - the clock is undefined where a template asks first") {
  CHECK(render("{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}26 Jul 2024{% endif %}") ==
        "26 Jul 2024");
  CHECK(error_of("{% if strftime_now is defined %}{% endif %}{{ strftime_now('%d') }}") == "322 1:47");
}

TEST_CASE("chat template - nesting is bounded, and long chains are not nesting") {
  CHECK(error_of("{{ " + times(100'000, "(") + " }}").starts_with("321"));
  CHECK(error_of("{{ " + times(100'000, "[")).starts_with("321"));
  CHECK(error_of("{{ " + times(100'000, "-") + "1 }}").starts_with("321"));
  CHECK(error_of("{{ " + times(100'000, "not ") + "1 }}").starts_with("321"));
  CHECK(error_of("{{ x" + times(100'000, ".a") + " }}").starts_with("321"));
  CHECK(error_of("{{ x" + times(100'000, "|trim") + " }}").starts_with("321"));
  CHECK(error_of("{{ 1 if " + times(100'000, "1 if ") + "1 }}").starts_with("321"));
  CHECK(error_of(times(1000, "{% if 1 %}") + times(1000, "{% endif %}")).starts_with("321"));
  CHECK(error_of(times(100'000, "{% for x in [1] %}")).starts_with("321"));
  CHECK(error_of("{% set x = [] %}{% for i in range(100) %}{% set x = [x] %}{% endfor %}") == "no error");
  CHECK(error_of("{% set n = namespace(x=[]) %}{% for i in range(100) %}{% set n.x = [n.x] %}{% endfor %}")
            .starts_with("322"));
  CHECK(error_of("{% set n = namespace() %}{% set n.self = n %}").starts_with("322"));
  CHECK(render("{{ 'a'" + times(5000, " ~ 'b'") + " }}").size() == 5001);
  CHECK(render("{{ 0" + times(5000, " + 1") + " }}") == "5000");
  CHECK(render("{% if 0 %}" + times(5000, "{% elif 0 %}") + "{% else %}x{% endif %}") == "x");
}

// Unbounded, most of these would take hours or all memory.
TEST_CASE("chat template - output, loops and work are bounded") {
  const std::string grow = "{% set n = namespace(x='0123456789abcdef') %}{% for i in range(60) %}";
  CHECK(error_of(grow + "{% set n.x = n.x ~ n.x %}{% endfor %}").starts_with("322"));
  CHECK(error_of(grow + "{% set n.x = n.x | replace('0', n.x) %}{% endfor %}").starts_with("322"));
  CHECK(error_of(grow + "{% set n.x = [n.x, n.x] | join(n.x) %}{% endfor %}").starts_with("322"));
  CHECK(error_of("{{ 'ab' * 9223372036854775807 }}").starts_with("322"));
  CHECK(
      error_of("{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}")
          .starts_with("322"));
  CHECK(error_of("{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor "
                 "%}{{ n.x == n.x }}")
            .starts_with("322"));
  CHECK(error_of("{% for i in range(9223372036854775807) %}{% endfor %}").starts_with("322"));
  CHECK(error_of("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}")
            .starts_with("322"));
  CHECK(
      error_of("{% for i in range(900000) %}0123456789012345678901234567890{% endfor %}").starts_with("322"));
  CHECK(error_of("{% set x = 'x' * 9000000 %}{% for i in range(900000) %}{{ x | length }}{% endfor %}")
            .starts_with("322"));
  CHECK(error_of("{% set x = 'x' * 9000000 %}{% set y = x.split('x') %}").starts_with("322"));
  CHECK(error_of("{% set x = range(9999) | list %}{{ x | reject('in', x) | list | length }}").starts_with("322"));
  CHECK(error_of("{% set x = range(999) | list %}{{ x | reject('in', x) | list | length }}") == "no error");
}

TEST_CASE("chat template - a long conversation renders in linear time") {
  CHECK(takes_linear_time(20'000, [](size_t n) {
    std::vector<ChatMessage> messages;
    for (size_t i = 0; i < n; ++i) messages.push_back({i % 2 ? "assistant" : "user", std::string(100, 'x')});
    const std::string text = render(
        "{% for m in messages %}{% if messages[0].role == 'user' %}{{ '[' + m.content | trim + ']' }}"
        "{% endif %}{% endfor %}",
        messages);
    CHECK(text.size() == n * 102);
  }));
}

// Expected values from Python's own str and slice, typed in by hand from an interpreter.
TEST_CASE("chat template - strings count code points and strip as Python does") {
  CHECK(render("{{ 'h\u00e9llo \u4e16\u754c'[1:8:2] }}|{{ '\u4e16\u754c'|length }}|{{ 'abc'[::-1] }}|{{ "
               "'abc'[5:] }}|{{ 'abc'[-9:2] }}") == "\u00e9l \u754c|2|cba||ab");
  CHECK(render("{{ '\\u00a0\\u3000 x \\u2003\\x1f'.strip() }}|{{ '\u00e9x\u00e9'.strip('\u00e9') }}") ==
        "x|x");
  CHECK(render("{{ 'a  b c '.split() | join('/') }}|{{ 'a b c'.split(' ', 1) | join('/') }}|{{ ' a b  "
               "'.split(none, 1) | join('/') }}|"
               "{{ ',a,,'.split(',') | join('/') }}") == "a/b/c|a/b c|a/b|/a//");
  CHECK(render(
            "{{ \"they're bill's\".title() }}|{{ \"they're bill's\" | title }}|{{ 'aBC d'.capitalize() }}") ==
        "They'Re Bill'S|They're Bill's|Abc d");
  CHECK(render("{{ 'aaa'.replace('a', 'b', 2) }}|{{ 'ab'.startswith(('x', 'a')) }}|{{ '7' | int + 1 }}") ==
        "bba|True|8");
}

TEST_CASE("chat template - numbers behave as Python's") {
  CHECK(
      render(
          "{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ -7.5 // 2 }} {{ 5.5 % -2 }}") ==
      "-4 2 -2 3.5 3.0 -4.0 -0.5");
  CHECK(render("{{ 1e16 }} {{ 1.0 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ true + 1 }} {{ 1_000 }}") ==
        "1e+16 1.0 0.30000000000000004 1e-05 2 1000");
  CHECK(render("{{ {'a': [1, {'b': none}], 'c': []} | tojson(indent=2) }}") ==
        "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": []\n}");
}

TEST_CASE("chat template - line ends of Windows and lone carriage returns count as newlines") {
  CHECK(render("a\r\n{% if true %}\r\nb\r{% endif %}\r\nc\r\n") == "a\nb\nc");
}

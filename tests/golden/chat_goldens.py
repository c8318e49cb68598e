"""Makes tests/data/chat_goldens.jsonl: chat templates rendered by jinja2, set up as transformers sets it up.

A line: {"template" or "family", "messages", "add_generation_prompt", "required", "expected"}; a family's template is
tests/fuzz/corpus/chat_template/FAMILY.jinja. "error": true stands for "expected" where jinja2 itself fails, while parsing or
while rendering. Where "required" is false the construct may be refused instead. bos_token is "<s>", eos_token "</s>". There is
no strftime_now: a prompt must not depend on the clock, and templates that ask first have a date of their own. Strings only
ever come from the messages.
"""

import json
import pathlib

import jinja2
import jinja2.sandbox

import chat_templates

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "chat_goldens.jsonl"

USER = [{"role": "user", "content": "Hi there"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " What is 2+2? \n"}]
LONG = SYSTEM + [{"role": "assistant", "content": "4"}, {"role": "user", "content": "<|im_end|> \"quoted\" & 'x' \u00e9\u4e16\U0001f600\n\ttab"}]
NO_SYSTEM = LONG[1:]
THOUGHTFUL = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nSmall numbers.\n</think>\n\n4"},
              {"role": "user", "content": "3+3?"}, {"role": "assistant", "content": "<think>\nAgain.\n</think>\n\n6"}]
TOOL = [{"role": "user", "content": "Time?"}, {"role": "assistant", "content": "Let me look. "}, {"role": "tool", "content": "12:00"}]
TWICE = [{"role": "user", "content": "A"}, {"role": "user", "content": "B"}]
CONVERSATIONS = [USER, SYSTEM, LONG, NO_SYSTEM, LONG[:3], SYSTEM[:1], THOUGHTFUL, TOOL, TWICE]


class maybe(str):
    """Outside the subset that must render: refusing it as unsupported is right too, rendering it otherwise is not."""


CONSTRUCTS = [
    # text, comments, output of each kind of value
    "plain text, no tags", "", "a{# comment #}b", "a{#- comment -#}b", "{# {{ not run }} #}x",
    "{{ 'a' }}{{ \"b\" }}{{ 'it\\'s' }}{{ \"q\\\"q\" }}{{ 'tab\\tnl\\nbs\\\\' }}",
    maybe("{{ 1 }} {{ -2 }} {{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 3 }}"),
    "{{ true }} {{ false }} {{ none }} {{ True }} {{ False }} {{ None }}", "{{ undefined_name }}|", "{{ messages|length }}",
    "{{ messages | length + 1 }}",
    maybe("{{ 1.5 }} {{ 7 / 2 }} {{ (1 + 2) * 3 }} {{ -7 // 2 }} {{ -7 % 3 }}"),
    # whitespace control; block tags eat their own line's indent and newline
    "x\n{% if true %}\n  y\n{% endif %}\nz", "x\n  {%- if true -%}\n  y\n  {%- endif -%}\nz", "x  {{- ' a ' -}}  y",
    "x  {{ ' a ' }}  y\n",
    "{% for m in messages %}\n{{ m.role }}\n{% endfor %}\n", "    {% set a = 1 %}    \n{{ a }}",
    "{%- for m in messages -%}  {{ m.role }}  {%- endfor -%}", "a\n\n{{ 'b' }}\n\n", "a\n\n{% if true %}b{% endif %}\n\nc\n",
    "\t{% if true %}\tx{% endif %}", maybe("a {%+ if true %} b{% endif %}"),
    # for
    "{% for m in messages %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }} {% endfor %}",
    maybe("{% for m in messages %}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}"),
    "{% for m in messages %}{% if loop.last %}[{{ m['content'] }}]{% endif %}{% endfor %}",
    "{% for m in [] %}x{% else %}empty{% endfor %}",
    maybe("{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }};{% endfor %}"),
    "{% for a in messages %}{% for b in messages %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    maybe("{% for i in range(3) %}{{ i }},{% endfor %}"), maybe("{% for i in [1, 'two', none, [3]] %}{{ i }};{% endfor %}"),
    "{% for m in messages[1:] %}{{ m.role }},{% endfor %}", "{% for m in messages[:-1] %}{{ m.role }},{% endfor %}",
    maybe("{% for m in messages[::-1] %}{{ m.role }},{% endfor %}"),
    maybe("{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}"),
    maybe("{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }} {% endfor %}"),
    # if, elif, else, ternary, logic, comparison
    "{% if messages[0].role == 'system' %}S{% elif messages[0].role == 'user' %}U{% else %}?{% endif %}",
    "{{ 'yes' if messages|length > 1 else 'no' }}", "{{ 'yes' if messages|length > 9 }}|",
    "{{ 1 < 2 }} {{ 2 <= 2 }} {{ 3 > 4 }} {{ 4 >= 5 }} {{ 1 != 1 }} {{ 'a' < 'b' }} {{ '1' == 1 }}", maybe("{{ 1 == 1.0 }}"),
    "{{ true and false }} {{ true or false }} {{ not true }} {{ not (1 == 2) and 'x' }}",
    "{{ '' or 'fallback' }} {{ 'a' and 'b' }} {{ 0 or none }}",
    "{% if '' %}a{% else %}b{% endif %}{% if [] %}a{% else %}b{% endif %}{% if 0 %}a{% else %}b{% endif %}{% if '0' %}a{% else %}b{% endif %}",
    maybe("{{ 1 < 2 < 3 }} {{ not messages }}"),
    "{{ 'user' in ['user', 'tool'] }} {{ 'x' not in 'abc' }} {{ 'b' in 'abc' }} {{ 'role' in messages[0] }} {{ 'name' in messages[0] }}",
    # set, scope, namespace
    "{% set x = 'a' %}{% set x = x + 'b' %}{{ x }}",
    "{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, seen=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% if m.role == 'user' %}{% set ns.seen = true %}{% endif %}{% endfor %}{{ ns.n }}{{ ns.seen }}",
    maybe("{% set a, b = 1, 2 %}{{ a }}{{ b }}"), maybe("{% set x %}block {{ 1 }}{% endset %}[{{ x }}]"),
    "{% if true %}{% set x = 5 %}{% endif %}{{ x }}",
    # subscripts and attributes
    "{{ messages[0]['role'] }}{{ messages[0].role }}{{ messages[-1].content }}",
    "{{ messages[0].missing }}|{{ messages[0]['missing'] }}|",
    "{{ 'abc'[0] }}{{ 'abc'[-1] }}{{ 'abcdef'[1:3] }}{{ 'abcdef'[2:] }}{{ 'abcdef'[:2] }}", "{{ messages[99] }}|",
    maybe("{{ {'a': 1, 'b': 'x'}['b'] }}{{ {'a': 1}.a }}"),
    "{{ messages[0].missing.deeper }}",
    # concatenation
    "{{ 'a' ~ 1 ~ none ~ true ~ 'b' }}", maybe("{{ 'a' + 'b' * 3 }}"), maybe("{{ [1] + [2, 3] }}"), "{{ 'a' + 1 }}",
    maybe("{{ 1 ~ 2 * 3 }}"),
    # filters
    "{{ '  x y \\n' | trim }}|", "{{ 'aBc' | upper }}{{ 'aBc' | lower }}", maybe("{{ '\u00e9' | upper }}{{ '\u00c9' | lower }}"),
    "{{ 'abc' | length }}{{ [] | length }}",
    "{{ missing | default('d') }}{{ '' | default('d') }}{{ '' | default('d', true) }}{{ none | default('d') }}",
    "{{ ['a', 'b', 1] | join(', ') }}{{ 'abc' | join('-') }}{{ [] | join }}",
    "{{ messages | tojson }}", maybe("{{ {'a': [1, 2.5, true, none], 'b': \"<q> & 'x' \\\"y\\\"\"} | tojson }}"),
    "{{ messages[0].content | trim | upper }}", "{{ 'a' ~ ' b ' | trim ~ 'c' }}", "{{ ('a' + ' b ') | trim }}",
    maybe("{{ (messages | first).role }}{{ (messages | last).role }}"),
    maybe("{{ 'hello world' | capitalize }}{{ 'hello world' | title }}"), maybe("{{ 'a-b' | replace('-', '+') }}"),
    maybe("{{ messages | map(attribute='role') | join(',') }}"),
    maybe("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"),
    maybe("{{ 'x' | string }}{{ 3 | string + 'y' }}{{ '42' | int + 1 }}"),
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'eq', 'user') | list | length }}",
    "{{ messages | map(attribute='role') | join(',') }}|{{ [' a', 'b '] | map('trim') | join(',') }}",
    "{{ [1, 0, 2] | select | join }}{{ [1, 0, 2] | reject | list | length }}{{ ['a', 'b'] | reject('equalto', 'a') | join }}",
    "{{ ['a', 'bc', 'd'] | select('in', 'abc') | join(',') }}{{ messages | selectattr('name') | list | length }}",
    "{{ 1 is eq 1 }}{{ 'a' is ne('b') }}{{ 'a' is in ['a'] }}{{ 'a' is not in ('b', 'c') }}{{ 2 is equalto(3) or true }}",
    "{{ [1] | select('no_such_test') | list }}",
    # methods of strings
    "{{ ' a '.strip() }}|", maybe("{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xxaxx'.strip('x') }}"),
    "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('bc') }}{{ 'abc'.startswith('x') }}",
    "{{ 'a,b,c'.split(',') | join('|') }}{{ ' a  b '.split() | length }}{{ 'a</think>b'.split('</think>')[-1] }}",
    maybe("{{ 'aBc'.upper() }}{{ 'aBc'.lower() }}{{ 'abc'.replace('b', 'x') }}{{ 'ab c'.title() }}"),
    maybe("{{ 'abc'.find('c') }}"),
    # tests
    "{{ x is defined }} {{ messages is defined }} {{ x is not defined }} {{ x is undefined }}",
    "{{ none is none }} {{ 1 is none }} {{ none is not none }} {{ 'a' is string }} {{ 1 is string }}",
    maybe("{{ messages is iterable }} {{ messages[0] is mapping }} {{ messages is sequence }} {{ 1 is number }}"),
    "{% if messages[0].content is string %}text{% else %}parts{% endif %}",
    maybe("{{ true is true }} {{ true is boolean }} {{ 3 is odd }} {{ 4 is even }}"),
    "{{ not x is defined }} {{ messages[0].name is defined and true }}",
    # given names
    "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}",
    "{% if tools %}T{% endif %}{% if tools is defined and tools %}T{% endif %}ok",
    # errors: jinja2 refuses these too
    "{{ raise_exception('no') }}", "{% if %}", "{% for m in messages %}", "{{ 'open }}", "{% endif %}", "{{ 1 + }}",
    "{{ messages | no_such_filter }}", "{{ 1 is no_such_test }}", "{% unknown_tag %}", "{{ no_such_function() }}",
    "{{ 'x'.no_such_method() }}",
    "{{ 1 // 0 }}", "{% if false %}{{ raise_exception('never') }}{% endif %}fine", "{{ messages[0].role.missing.x }}",
    "{# open", "{% set x = %}", "{{ (1 }}", "{{ [1, }}", "{{ x.y }}",
]


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.globals["raise_exception"] = raise_exception
    env.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    return env


def golden(env, template, messages, add_generation_prompt):
    is_family = template in chat_templates.FAMILIES
    line = {"family" if is_family else "template": template, "messages": messages,
            "add_generation_prompt": add_generation_prompt, "required": not isinstance(template, maybe)}
    try:
        line["expected"] = env.from_string(chat_templates.read(template) if is_family else template).render(
            messages=messages, add_generation_prompt=add_generation_prompt, bos_token="<s>", eos_token="</s>",
            tools=None, documents=None)
    except (jinja2.exceptions.TemplateError, TypeError, ZeroDivisionError):
        line["error"] = True
    return line


def main():
    env = environment()
    lines = []
    for family in chat_templates.FAMILIES:
        for messages in CONVERSATIONS:
            for add_generation_prompt in (False, True):
                lines.append(golden(env, family, messages, add_generation_prompt))
    lines += [golden(env, template, LONG, True) for template in CONSTRUCTS]
    OUT.write_text("".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()

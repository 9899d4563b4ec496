#!/usr/bin/env python3
"""Makes test vectors of chat templates with the PyPI package `jinja2` as the oracle.

  chat_template_vectors.py constructs -o tests/vectors/chat/constructs.json
  chat_template_vectors.py models NAME=FILE... -o tests/vectors/chat/models.json
  chat_template_vectors.py models DIR -o all.json; ECQ_CHAT_VECTORS=all.json chat_test

The environment is the one that transformers makes: ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks,
loop controls, `generation` blocks, its own tojson, raise_exception, and strftime_now with a clock that stands.
`constructs` renders small templates, one for each thing that the interpreter knows. `models` renders templates of
real models with several conversations: FILE is a template or a tokenizer_config.json (`ecq unpack` writes that of a
GGUF file); DIR has *.jinja files. A case without "text" is one that jinja2 refuses, too.
"""
import argparse
import datetime
import json
import pathlib
import warnings

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = datetime.datetime(2024, 7, 26, 9, 5, 3)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

    @staticmethod
    def _pass(caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def render(source, variables):
    """The text, or None if jinja2 refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return environment().from_string(source).render(**variables)
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, KeyError, IndexError, ZeroDivisionError,
            AttributeError, OverflowError, RecursionError, SyntaxError):
        return None


VARIABLES = {
    "s": "  Hello, Wörld!  ", "n": 7, "f": 2.5, "t": True, "none_value": None, "empty": [], "words": ["b", "a", "C"],
    "d": {"one": 1, "two": [1, 2], "items": "shadow", "ключ": "значение"},
    "people": [{"name": "Bo", "age": 3, "at": {"home": True}}, {"name": "Al", "age": 30, "at": {"home": False}},
               {"name": "cy", "age": 7}],
    "quote": "a'b\"c\\d\n\t\x01é\u2028😀", "lines": "one\ntwo\r\n\nfour",
}

# White space control.
SPACES = [
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}  \n  b\n  {% endif %}\nc\n\n", "  {%- if t -%}  b  {%- endif -%}  ",
    "a\n   {%+ if t %}b{% endif +%}\n c", "x {# c #}\n y", "x\n   {# c #}\n y", "x\n {#- c -#} \n y", "{{ n }}\n{{ n }}\n",
    "a \n {{- n -}} \n b", "a {% set x = 1 %}\n b", "   {% set x = 1 %}   \n b", "\n\n{% if t %}\n\n\n{% endif %}\n\n",
    "a\r\n{% if t %}\r\nb\r{% endif %}c\r\n", "{% raw %}{{ x }} {% y %}{% endraw %}\nz", " {%- raw -%} {{ x }} {%- endraw -%} z",
    "a\n  {% raw %}\n b\n  {% endraw %}\n z", "{% if t %}  {% if t %}x{% endif %}  {% endif %}", "{%if t%}x{%endif%}", "{{n}}{{-n-}}{{n}}",
    "\n  {% if t %}\n    {% for w in words %}\n  {{ w }}\n    {% endfor %}\n  {% endif %}\n", "{", "{{ '{%' }}", "a{b}c %} }}",
    "{% if t %}\n\n x{% endif -%}\n  \n y", "{% if t -%}\n  {% endif %}z", "\ufeffx", "\xa0{% if t %}x{% endif %}", "a\n\xa0{% if t %}x{% endif %}",
    "x\n{#\n a\n#}\n  {#- b #}\n  y", "{%- set x = 1 %}\n  {%- set y = 2 %}\n{{ x + y }}\n",
]
LITERALS = [
    "{{ 'a' \"b\" 'c' }}", r"{{ 'a\n\t\\\'\"\x41\u00e9\101\q' }}", "{{ 1_000 }} {{ 1.5 }} {{ 1e3 }} {{ 2.5e-7 }} {{ 1e16 }} {{ 123456789.0 }}",
    "{{ [1, 'a', none, true, 1.0, [], {}] }}", "{{ {'a': 1, 'b': [1, 2], 3: none} }}", "{{ (1, 'a') }} {{ (1,) }} {{ () }} {{ 1, 2 }}",
    "{{ True }} {{ false }} {{ None }} {{ none }}", "{{ quote }} {{ [quote] }} {{ [\"it's\"] }}", "{{ {'a': {'b': {}}} }}", "{{ [1, 2,] }} {{ {'a': 1,} }}",
    "{{ {'a': 1, 'a': 2} }}", "{{ missing }}|{{ [missing] }}", "{{ 0.1 + 0.2 }} {{ 1 / 3 }} {{ 1e300 * 1e300 }} {{ 100000.0 }} {{ 1e-5 }}",
]
EXPRESSIONS = [
    "{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ +n }}",
    "{{ 1.5 * 2 }} {{ -7.5 // 2 }} {{ 7.5 % -2 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }}", "{{ 'a' + 'b' }} {{ [1] + [2] }} {{ 'ab' * 3 }} {{ 2 * [1] }} {{ (1,) + (2,) }}",
    "{{ 1 ~ 'a' ~ none ~ true ~ [1] ~ missing }}", "{{ 'a' + 2 ~ 3 }} {{ 1 ~ 2 * 3 }}", "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}",
    "{{ 'a' == \"a\" }} {{ [1] == [1] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }} {{ none == none }} {{ missing == missing }} {{ missing == none }}",
    "{{ 1 != 2 }} {{ 2 >= 2 }} {{ 1 <= 0 }} {{ 'b' > 'a' }}", "{{ 'ell' in s }} {{ 'x' not in s }} {{ 1 in [1, 2] }} {{ 'one' in d }} {{ 1 in d }} {{ 'x' in missing }}",
    "{{ t and n }} {{ empty or 'x' }} {{ not t }} {{ not not n }} {{ 0 or none }} {{ '' and 1 }}", "{{ 'a' if t else 'b' }} {{ 'a' if empty else 'b' }} {{ 'a' if empty }}|",
    "{{ 1 if false else 2 if false else 3 }}", "{{ not 1 == 2 }}", "{{ not 'a' in s }}", "{{ 1 is defined and 2 }}", "{{ (1 + 2) * 3 }}", "{{ d.one }} {{ d['one'] }} {{ d.missing }}|{{ d['missing'] }}|",
    "{{ d['items'] }}", "{{ d.two[0] }} {{ d.two[-1] }} {{ d.two[5] }}|{{ d['two'].0 }}", "{{ s[2] }} {{ s[-3] }} {{ s[8:10] }} {{ s[99] }}|", "{{ words[1:] }} {{ words[:-1] }} {{ words[::-1] }} {{ words[::2] }} {{ words[5:] }} {{ words[-2:] }}",
    "{{ s[::-1] }} {{ s[3:1:-1] }} {{ words[-99:99] }}", "{{ 'x' if n > 3 and n < 9 else 'y' }}", "{{ d.get('one') }} {{ d.get('x') }} {{ d.get('x', 5) }}", "{{ 5 - 3 - 1 }} {{ 8 // 2 // 2 }} {{ 2 * 3 % 4 }}",
    "{{ -n | abs }} {{ (-n) | abs }} {{ -5 | abs }}", "{{ 'a' ~ 'b' | upper }}", "{{ 1 == 1 | string }}", "{{ 'a'.missing }}|", "{{ '%s and %d%%' % ('a', 5) }} {{ '%s' % 'x' }} {{ '%s' % [1] }}", "{{ people[0].at.home }}", "{{ people[0]['na' ~ 'me'] }}",
    "{{ words[true] }}", "{{ 3 if t }}{{ 4 if not t }}", "{{ [1, 2, 3] | length > 2 }}", "{{ s is string and n is number }}", "{{ 'a' 'b' ~ 'c' }}", "{{ d.two == [1, 2] }}", "{{ 'a' in ['a'] and 'b' not in ['a'] }}",
]
REFUSED = [
    "{{ missing.x }}", "{{ missing['x'] }}", "{{ missing() }}", "{{ missing + 1 }}", "{{ 1 + 'a' }}", "{{ 'a' < 1 }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ n() }}", "{{ 1 in 5 }}", "{{ 1 in 'abc' }}",
    "{{ words.append('x') }}", "{{ d.pop('one') }}", "{{ d.update({}) }}", "{% for x in 5 %}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% set n.x = 1 %}", "{{ raise_exception('no') }}", "{{ 'a' | nonesuch }}", "{{ 'a' is nonesuch }}",
    "{{ none.x.y }}", "{{ none | length }}", "{{ missing | tojson }}", "{{ x is }}", "{% if %}{% endif %}", "{% endif %}", "{% if t %}", "{{ 'a }}", "{{ (1 }}", "{{ 1 2 }}", "{% break %}", "{% nonesuch %}", "{{ }}", "{% for x words %}{% endfor %}", "{% set 1 = 2 %}",
    "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{{ 'a'.split('') }}", "{{ [1].index(2) }}", "{{ words[::0] }}", "{{ range(0, 5, 0) }}", "{{ range(1000000) | length }}", "{{ -'a' }}", "{{ ['a', 1] | sort }}", "{{ '{}'.format() }}",
    "{% set x %}{% endif %}", "{{ a.1b }}", "{{ 1 is string is string }}", "{{ 'a' | }}", "{% else %}", "{# x", "{% raw %}x", "{{ [1, 2 }}", "{{ 'x' | join(1, 2, 3, 4) }}", "{{ ']' ) }}", "{{ people | map(attribute='at.home') | list }}",
]
STATEMENTS = [
    "{% if n == 1 %}a{% elif n == 7 %}b{% else %}c{% endif %}", "{% if n == 1 %}a{% elif n == 2 %}b{% else %}c{% endif %}", "{% if missing %}a{% endif %}", "{% for x in words %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in missing %}a{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }} {% endfor %}", "{% for c in 'añb' %}{{ c }}.{% endfor %}", "{% for (a, b) in [[1, 2], (3, 4)] %}{{ a }}{{ b }} {% endfor %}",
    "{% for x in words %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}", "{% for x in range(6) if x is odd %}{{ loop.index }}:{{ x }} {% endfor %}",
    "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }};{% endfor %}", "{% for x in words %}{{ loop.cycle('odd', 'even') }} {% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% set ns = namespace(x=1, y='a') %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}|", "{% set ns = namespace() %}{% set ns.a = [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }} {{ ns['a'] }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = 'xy' %}{{ a }}{{ b }}", "{% set x %} a {{ n }} {% endset %}[{{ x }}]", "{% set x | trim | upper %} a {{ n }} {% endset %}[{{ x }}]", "{% set ns = namespace() %}{% set ns.x %}b{% endset %}{{ ns.x }}", "{% set x = 1, 2 %}{{ x }}", "{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(1, 2, 3) }} {{ m() }}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}", "{% set g = 'G' %}{% macro m() %}{{ g }}{{ n }}{% endmacro %}{{ m() }}{% set g = 'H' %}{{ m() }}", "{% macro m() %}  x  {% endmacro %}[{{ m() | trim }}] {{ m() ~ 'y' }}", "{% macro m(a) %}{% set n = a %}{{ n }}{% endmacro %}{{ m(1) }}{{ n }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{% for x in words %}{% if x == 'a' %}{% break %}{% endif %}{{ x }}{% endfor %}{% endmacro %}{% for i in [1, 2] %}{{ m() }}{% endfor %}", "{% filter upper %}abc{{ s }}{% endfilter %}", "{% filter trim | replace('a', 'b') %} aa {% endfilter %}", "{% with x = 1, y = 2 %}{{ x }}{{ y }}{% endwith %}{{ x }}|", "{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}|", "{% generation %}a{{ n }}{% endgeneration %}b",
    "{% generation %}{% set q = 1 %}{% endgeneration %}{{ q }}|", "{% if t %}{% set y = 5 %}{% else %}{% set y = 6 %}{% endif %}{{ y }}", "{% for x in words %}{% set y = x %}{% endfor %}{{ y }}|{{ x }}|", "{% for x in words %}{% if loop.first %}{% set first_word = x %}{% endif %}{{ first_word }}|{% endfor %}", "{{ namespace(a=1).a }}", "{{ dict(a=1, b=2) }}", "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(2, 8, 3) | list }}{{ range(5, 0, -2) | list }}{{ range(0) | list }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %B %b %A %a %y %I %p %j %-d') }}",
    "{% for p in people if p.age > 5 %}{{ p.name }}{% endfor %}", "{% for p in people | selectattr('at') %}{{ p.name }}{% endfor %}", "{% for k, v in d | dictsort %}{{ k }} {% endfor %}", "{% for k, v in {'b': 1, 'A': 2} | dictsort %}{{ k }}{% endfor %}", "{% for a in [1] %}{% for b in [] %}{% else %}{{ a }}{% endfor %}{% endfor %}", "{% if t %}{% macro m() %}in{% endmacro %}{% endif %}{{ m() }}", "{% for x in [1, 2, 3] -%}\n {{ x }}\n{%- endfor %}", "{% set loop_messages = words[1:] %}{% for m in loop_messages %}{{ m }}{% endfor %}", "{%- for x in words %}{{ ', ' if not loop.first }}{{ x }}{%- endfor %}", "{% set x = namespace(v=namespace(w=1)) %}{% set y = x.v %}{% set y.w = 2 %}{{ x.v.w }}", "{% raw %}a{% endraw %}{% raw %}{% if %}{% endraw %}",
]
FILTERS = [
    "[{{ s | trim }}] [{{ 'xxaxx' | trim('x') }}] [{{ none | trim }}]", "{{ 5 | trim }} {{ [1] | trim }}", "{{ s | upper }} {{ s | lower }} {{ 'hELLO wORLD' | capitalize }} {{ 'hello big-world (x)' | title }} {{ 'ß ǆ ñ' | upper }}".replace("ß ", ""), "{{ [1, 2] | length }} {{ s | length }} {{ d | length }} {{ missing | length }} {{ '' | count }}",
    "{{ missing | default('x') }} {{ none | default('x') }} {{ none | default('x', true) }} {{ '' | d('y', boolean=true) }} {{ 0 | default(1) }} [{{ missing | default }}]", "{{ words | join }} {{ words | join(', ') }} {{ [1, none, 'a'] | join('-') }} {{ people | join(',', attribute='name') }} {{ 'abc' | join('.') }} {{ [] | join }}", "{{ words | first }} {{ words | last }} {{ [] | first }}| {{ 'abc' | first }} {{ 'abc' | last }}",
    "{{ 'aXbX' | replace('X', 'y') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 5 | replace('5', '6') }} {{ 'ab' | replace('', '-') }}", "{{ people | map(attribute='name') | list }} {{ none | map('x') | list }} {{ none | select | list }} {{ people | map(attribute='zip', default='?') | list }} {{ words | map('upper') | join }} {{ words | map('replace', 'a', 'q') | list }}",
    "{{ people | selectattr('age', 'gt', 5) | map(attribute='name') | list }} {{ people | rejectattr('age', '>', 5) | map(attribute='name') | list }} {{ people | selectattr('at') | list | length }} {{ people | selectattr('at', 'defined') | list | length }} {{ people | selectattr('name', 'equalto', 'Bo') | list | length }} {{ people | rejectattr('at.home') | list | length }}".replace(" {{ people | rejectattr('at.home') | list | length }}", ""),
    "{{ [1, 2, 3, 4] | select('even') | list }} {{ [0, 1, ''] | select | list }} {{ [1, 2] | reject('odd') | list }} {{ [0, 1] | reject | list }} {{ words | select('in', ['a']) | list }}", "{{ 'abc' | list }} {{ d | list }} {{ (1, 2) | list }} {{ range(3) | list }}", "{{ 5 | string + 'a' }} {{ [1] | string }} {{ none | string }} {{ true | string }}", "{{ '42' | int }} {{ ' 42 ' | int }} {{ '4.7' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '1f' | int(base=16) }} {{ none | int(5) }} {{ true | int }} {{ '-5' | int }}",
    "{{ '4.5' | float }} {{ 'x' | float }} {{ 3 | float }} {{ 'x' | float(1.5) }}", "{{ d | items | list }} {{ missing | items | list }}", "{{ '<a>' | safe }} {{ '<a href=\"x\">&\\'' | e }}", "{{ lines | indent }}", "{{ lines | indent(2, true) }}", "{{ lines | indent(2, first=true, blank=true) }}", "{{ lines | indent('> ') }}", "{{ 'x\n' | indent(1) }}|",
    "{{ d | tojson }}", "{{ d | tojson(indent=2) }}", "{{ quote | tojson }}", "{{ quote | tojson(ensure_ascii=true) }}", "{{ {'b': [1, {'a': none}], 'a': [], 'c': {}, 'e': true, 'f': 1.0} | tojson(indent=4, sort_keys=true) }}", "{{ [1, 2] | tojson(separators=(',', ':')) }} {{ {1: 2, none: 3, true: 4} | tojson }}", "{{ {'a': [1, 2]} | tojson(indent=1, separators=(' ,', ' : ')) }}", "{{ 1e16 | tojson }} {{ 0.1 | tojson }}", "{{ [3, 1, 2] | sort }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ [3, 1, 2] | sort(reverse=true) }} {{ people | sort(attribute='age') | map(attribute='name') | list }}", "{{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ words | min }} {{ people | max(attribute='age') }} {{ [] | max }}|", "{{ [1, 2, 1, 3] | unique | list }} {{ ['a', 'A', 'b'] | unique | list }}", "{{ [1, 2, 3] | sum }} {{ people | sum(attribute='age') }} {{ [0.5] | sum(start=1) }}",
    "{{ [1, 2, 3] | reverse | list }} {{ 'abc' | reverse }}", "{{ 2.567 | round }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.11 | round(1, 'ceil') }} {{ 2.19 | round(1, 'floor') }} {{ 5 | round }}", "{{ -5 | abs }} {{ -2.5 | abs }}", "{{ '%s-%s' | format('a', 1) }}", "{{ 'a b  c' | wordcount }}", "{{ d | dictsort(by='key', reverse=true) | map('first') | list }}", "{{ 'a' | upper | lower | upper }}", "{{ [[1, 2], [3]] | map('first') | list }} {{ [[1, 2], [3]] | map(attribute=0) | list }}", "{{ missing | upper }}|{{ missing | string }}|{{ missing | list }}|{{ missing | first }}|{{ missing | join }}|{{ missing | trim }}|", "{{ s | attr('upper') is callable }} {{ d | attr('one') }}|",
]
TESTS = [
    "{{ missing is defined }} {{ n is defined }} {{ missing is undefined }} {{ d.x is not defined }} {{ none is defined }}", "{{ none is none }} {{ 0 is none }} {{ missing is none }}", "{{ 's' is string }} {{ 1 is string }} {{ d is mapping }} {{ [] is mapping }} {{ [] is iterable }} {{ 's' is iterable }} {{ 1 is iterable }} {{ d is iterable }} {{ missing is iterable }}", "{{ [] is sequence }} {{ 's' is sequence }} {{ d is sequence }} {{ 1 is sequence }} {{ (1,) is sequence }}", "{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }}",
    "{{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }} {{ none is false }}", "{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }}", "{{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is gt(2) }} {{ 2 is ge 2 }} {{ 1 is le 0 }}", "{{ 'a' is in ['a'] }} {{ 'a' is not in 'abc' }}", "{{ 'ABC' is upper }} {{ 'abc' is lower }} {{ '1' is upper }}", "{{ range is callable }} {{ 1 is callable }} {{ none is sameas none }} {{ 1 is sameas true }}", "{{ n is not string }} {{ not n is string }} {{ n is string or n is number }}", "{{ 'x' if d.one is defined and d.one is not none else 'y' }}", "{{ (n if n is defined) + 1 }}", "{{ [1, 2] is string and 1 }}",
]
METHODS = [
    "[{{ s.strip() }}] [{{ s.lstrip() }}] [{{ s.rstrip() }}] [{{ 'xxaxx'.strip('x') }}] [{{ 'abcxa'.lstrip('ab') }}] [{{ '\n\t a\\n'.rstrip('\n') }}]", "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(None, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('x')[0] }} {{ 'a</think>b</think>c'.split('</think>')[-1] }} {{ ' a b  c '.split(maxsplit=1) }}", "{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.rsplit(None, 1) }} {{ 'a b'.rsplit() }}",
    "{{ lines.splitlines() }} {{ 'a\n'.splitlines() }} {{ ''.splitlines() }}", "{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.endswith('') }}", "{{ 'aBc'.upper() }} {{ 'aBc'.lower() }} {{ \"they're bill's\".title() }} {{ 'aBc dEF'.capitalize() }} {{ 'éa ÑB'.title() }}", "{{ 'aXbX'.replace('X', 'y') }} {{ 'aaa'.replace('a', 'b', 1) }} {{ 'ab'.replace('', '-') }} {{ ''.replace('', 'x') }}", "{{ 'añbñ'.find('b') }} {{ 'abc'.find('x') }} {{ 'añbñ'.rfind('ñ') }} {{ 'aXaX'.count('a') }} {{ 'aaa'.count('aa') }} {{ 'abc'.count('') }}", "{{ ', '.join(['a', 'b']) }} {{ ''.join([]) }} {{ '-'.join('abc') }}",
    "{{ '{} {} {{}}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=5) }}", "{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'aB'.islower() }}", "{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }}", "{{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }}", "{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }}", "{{ d.get('two')[0] }} {{ {}.get('x') is none }}", "{{ s.strip().split(', ')[1].lower() }}", "{{ 'a'.upper().lower() ~ 'b'.upper() }}", "{{ (s | trim).startswith('Hello') }}", "{{ d.copy() == d }}", "{{ '  a'.strip()[0] }}", "{{ 'x'.__class__ }}|",
]


def constructs():
    cases, wrong = [], []
    for source in SPACES + LITERALS + EXPRESSIONS + REFUSED + STATEMENTS + FILTERS + TESTS + METHODS:
        text = render(source, VARIABLES)
        if (text is None) != (source in REFUSED):
            wrong.append(f"{source!r}: {'refused' if text is None else text!r}")
        cases.append({"source": source, "conversation": "variables"} | ({} if text is None else {"text": text}))
    if wrong:
        raise SystemExit("\n".join(wrong))
    return {"conversations": {"variables": VARIABLES}, "cases": cases}


TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a place.\nToday's.",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "a \"city\""}, "days": {"type": "integer", "enum": [1, 2]},
        "unit": {"type": ["string", "null"], "default": "C"}}, "required": ["place"]}}}]
CALLS = [{"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Åre", "days": 2}}}]


def turn(role, content, **more):
    return {"role": role, "content": content} | more


def conversations():
    user = [turn("user", "Hi there")]
    chat = [turn("system", " Be brief. "), *user, turn("assistant", "Hello!\n"), turn("user", "What's 2 < 3 & \"é\"?\n\n")]
    think = [*user, turn("assistant", "<think>\nHm.\n</think>\n\nHello!"), turn("user", "Bye")]
    reasoned = [*user, turn("assistant", "Hello!", reasoning_content="Hm."), turn("user", "Bye")]
    tools = [turn("user", "Weather?"), turn("assistant", "", tool_calls=CALLS),
             turn("tool", "{\"t\": 5}", name="get_weather", tool_call_id="call12345")]
    parts = [turn("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])]
    base = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
            "unk_token": "<unk>", "pad_token": "<pad>"}
    return {
        "user": base | {"messages": user},
        "chat": base | {"messages": chat},
        "no_prompt": base | {"messages": chat[:3], "add_generation_prompt": False},
        "thoughts": base | {"messages": think, "enable_thinking": False},
        "reasoned": base | {"messages": reasoned, "enable_thinking": True},
        "tools": base | {"messages": tools, "tools": TOOLS},
        "tools_and_system": base | {"messages": [chat[0], *tools, turn("assistant", "5 degrees."), turn("user", "Thanks")], "tools": TOOLS},
        "parts": base | {"messages": parts},
        "assistant_first": base | {"messages": [turn("assistant", "Hello"), turn("assistant", "again")]},
        "none": base | {"messages": []},
    }


def read_template(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text)["chat_template"] if path.suffix == ".json" else text


def models(arguments):
    templates = {}
    for argument in arguments:
        name, _, file = argument.rpartition("=")
        path = pathlib.Path(file)
        if path.is_dir():
            templates |= {p.stem: read_template(p) for p in sorted(path.glob("*.jinja"))}
        else:
            templates[name or path.stem] = read_template(path)
    cases = []
    chats = conversations()
    for name, source in templates.items():
        for chat, variables in chats.items():
            text = render(source, variables)
            cases.append({"template": name, "conversation": chat} | ({} if text is None else {"text": text}))
    return {"templates": templates, "conversations": chats, "cases": cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["constructs", "models"])
    parser.add_argument("templates", nargs="*")
    parser.add_argument("-o", "--output", required=True, type=pathlib.Path)
    args = parser.parse_args()
    vectors = constructs() if args.what == "constructs" else models(args.templates)
    args.output.write_text(json.dumps(vectors, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{args.output}: {len(vectors['cases'])} cases, {sum('text' not in c for c in vectors['cases'])} refused")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes snippets.json: small templates with what Jinja2 makes of them (null: an error)."""
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from generate import environment  # noqa: E402

VARIABLES = {
    "s": "  Hello, Wörld! ", "t": "a-b_c d's E", "empty": "", "u": "日本 e\u0301 ÄSSß ǆ ŉ İ", "q": "it's \"q\"\n\t\\ \x7f\u200b\u00e9",
    "lines": "one\r\ntwo\n\nthree\u2028four\x0bfive\n", "i": 7, "n": -7, "f": 2.5, "big": 9007199254740993, "yes": True, "nil": None,
    "xs": [3, 1, 2, 3], "words": ["b", "A", "c", "a"], "mixed": [1, "a", None, True, 2.0, [1], {"k": 1}],
    "d": {"b": 1, "a": {"c": [1, 2]}, "items": 3, "Z": None}, "people": [
        {"name": "Ann", "age": 30, "on": True}, {"name": "Bob", "age": 25, "on": False}, {"name": "cid", "age": 30}],
}

SNIPPETS = r"""
{{ s|trim }}|{{ s.strip() }}|{{ s.lstrip() }}|{{ s.rstrip() }}|{{ t.strip('aE ') }}|{{ s|trim(' H!') }}
{{ s|upper }}{{ s|lower }}{{ t|title }}{{ t.title() }}{{ t|capitalize }}{{ t.capitalize() }}{{ u|upper }}{{ u|lower }}{{ u|title }}{{ u.title() }}
{{ u|length }} {{ u[0] }} {{ u[-1] }} {{ u[1:4] }} {{ u[::-1] }} {{ u[::2] }} {{ u[5:1:-2] }} {{ u[-3:] }} {{ u[99:] }} {{ u[99] }}|
{{ xs[1:] }} {{ xs[::-1] }} {{ xs[-2:] }} {{ xs[:-1] }} {{ xs[5:] }} {{ xs[0] }} {{ xs[-1] }} {{ xs[9] }}| {{ xs.1 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1e3 }} {{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-4 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1/3 }} {{ 123456789.125 }} {{ -0.0 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 1 - 2 - 3 }} {{ 2 * 3 % 4 }} {{ 'a' ~ 1 + 2 ~ 'b' }} {{ 1 ~ 2 }} {{ 'x' * 3 }} {{ 3 * 'x' }} {{ [1] * 2 }} {{ [1] + [2] }}
{{ True }} {{ none }} {{ None }} {{ true }} {{ [1, 'a', None, True, 2.0] }} {{ {'a': 1, "b": [1]} }} {{ (1,) }} {{ (1, 2) }} {{ () }} {{ 1, 2 }}
{{ mixed }} {{ d }} {{ [q] }} {{ ["it's"] }} {{ ['"'] }} {{ [s] }} {{ {'k': u} }}
{{ q }} {{ q|tojson }} {{ mixed|tojson }} {{ d|tojson }} {{ d|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=1) }} {{ [[], {}]|tojson(indent=1) }}
{{ u|tojson(ensure_ascii=true) }} {{ '🙂'|tojson(ensure_ascii=True) }} {{ d|tojson(sort_keys=true) }} {{ d|tojson(separators=(',', ':')) }} {{ xs|tojson(indent=0) }} {{ {1: 2, none: 3, true: 4}|tojson }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == True }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'a' == 1 }} {{ none == none }} {{ nope == nil }} {{ nope == other }} {{ (1,2) == [1,2] }}
{{ 1 in xs }} {{ 9 not in xs }} {{ 'ell' in s }} {{ 'b' in d }} {{ 'x' in nope }} {{ '' in s }} {{ not 1 in xs }}
{{ 1 and 2 }} {{ 0 and 2 }} {{ 0 or 'x' }} {{ '' or none }} {{ not '' }} {{ not xs }} {{ 1 or nope.x.y }} {{ [] and 1 }}
{{ 'a' if yes else 'b' }} {{ 'a' if nil }}| {{ 'a' if nil else 'b' if empty else 'c' }} {{ ('x' if yes) ~ 'y' }}
{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.cycle('a','b') }};{% endfor %}
{% for x in xs if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}{% for x in [] %}a{% else %}empty{% endfor %}{% for x in nope %}a{% else %}undef{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'añb' %}[{{ c }}]{% endfor %}{% for k, v in d|items %}{{ k }}{% endfor %}{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}
{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{% if loop.index == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% set a = 1 %}{% for x in xs %}{% set a = a + x %}{{ a }} {% endfor %}{{ a }}{% if yes %}{% set a = 9 %}{% endif %}{{ a }}
{% set ns = namespace(a=1, b='x') %}{% for x in xs %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{% set ns.c = 5 %}{{ ns.c }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set x %}block {{ a }}{% endset %}[{{ x }}]{% set y | upper | replace('B', 'c') %}abc{% endset %}{{ y }}
{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m(b=5, a=4) }}{{ m() }}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1) | int) }}{% endif %}{% endmacro %}{{ fact(10) }}
{% set g = 'out' %}{% macro m() %}{{ g }}{{ inner }}{% endmacro %}{% set inner = 1 %}{% for g in [2] %}{{ m() }}{{ g }}{% endfor %}
{% for x in [1] %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}{% filter upper %}ab{{ 'c' }}{% endfilter %}
{% raw %}{{ not }} {% this %}{% endraw %}{# comment {{ }} #}x{%- raw -%}  y  {%- endraw -%}  z
{{ xs|sort }}{{ xs|sort(reverse=true) }}{{ words|sort }}{{ words|sort(case_sensitive=true) }}{{ people|sort(attribute='age')|map(attribute='name')|join(',') }}{{ xs|unique|list }}{{ words|unique|list }}{{ xs|reverse|list }}{{ 'abc'|reverse }}
{{ xs|first }}{{ xs|last }}{{ []|first }}{{ 'abc'|first }}{{ 'abc'|last }}{{ xs|length }}{{ xs|count }}{{ d|length }}{{ nope|length }}{{ xs|sum }}{{ people|sum(attribute='age') }}{{ xs|min }}{{ xs|max }}{{ words|min }}{{ words|max }}
{{ people|selectattr('on')|map(attribute='name')|list }}{{ people|rejectattr('on')|map(attribute='name')|list }}{{ people|selectattr('age', 'equalto', 30)|map(attribute='name')|join }}{{ people|selectattr('on', 'defined')|list|length }}{{ people|map(attribute='on', default='?')|list }}
{{ xs|select('odd')|list }}{{ xs|reject('even')|list }}{{ xs|select('gt', 1)|list }}{{ mixed|select|list }}{{ mixed|select('string')|list }}{{ words|map('upper')|join('+') }}{{ xs|map('string')|join }}{{ [['a', 1]]|map('first')|list }}{{ [s]|map('replace', 'l', 'L')|list }}
{{ words|join }}{{ words|join(', ') }}{{ xs|join('-') }}{{ ', '.join(words) }}{{ people|join(';', attribute='name') }}{{ 'abc'|join('.') }}{{ [1, none, 'x']|join('/') }}
{{ s|replace('l', 'L') }}{{ s.replace('l', '') }}{{ 'aaa'|replace('a', 'b', 2) }}{{ 'abc'|replace('', '-') }}{{ 'aaaa'.replace('aa', 'b') }}{{ 'abc'.replace('', '-', 2) }}
{{ t.split() }}{{ t.split('-') }}{{ 'a,b,,c'.split(',') }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ''.split(',') }}{{ ''.split() }}{{ ' a  b c '.split(none, 1) }}{{ ' a  b c '.rsplit(none, 1) }}{{ ' a  b c '.split() }}{{ 'aXXbXXXc'.rsplit('XX') }}
{{ lines.splitlines() }}{{ lines.splitlines(true) }}{{ lines|indent }}|{{ lines|indent(2, true) }}|{{ lines|indent('> ', blank=true) }}|{{ 'x'|indent(3, first=true) }}|{{ ''|indent(first=true) }}|
{{ s.startswith('  H') }}{{ s.endswith('! ') }}{{ s.startswith(('x', ' ')) }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('bc') }}{{ 'abc'.find('c') }}{{ 'ñbc'.find('c') }}{{ 'abc'.find('z') }}{{ 'aXbX'.count('X') }}{{ '12'.isdigit() }}{{ ''.isdigit() }}
{{ d.get('b') }}{{ d.get('x') }}{{ d.get('x', 5) }}{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}{{ d['items'] }}{{ d.b }}{{ d['a']['c'][1] }}{{ d.a.c[0] }}{{ d.nope }}{{ d['nope'] }}
{{ nope|default('x') }}{{ empty|default('x') }}{{ empty|default('x', true) }}{{ nil|default('x') }}{{ nil|d('x', boolean=true) }}{{ nope|d }}{{ nope|default(5) + 1 }}
{{ nope is defined }}{{ nope is undefined }}{{ nil is none }}{{ nil is defined }}{{ s is string }}{{ i is number }}{{ i is integer }}{{ f is float }}{{ f is number }}{{ yes is boolean }}{{ yes is number }}{{ yes is integer }}{{ yes is true }}{{ 1 is true }}{{ d is mapping }}{{ xs is iterable }}{{ s is sequence }}{{ i is iterable }}{{ nil is iterable }}
{{ i is odd }}{{ i is even }}{{ i is divisibleby 7 }}{{ i is divisibleby(3) }}{{ i is eq 7 }}{{ i is equalto(7) }}{{ i is not eq 7 }}{{ i is in xs }}{{ 3 is in(xs) }}{{ i is gt 3 }}{{ i is lt(3) }}{{ 'A' is upper }}{{ 'a' is lower }}{{ nil is sameas none }}{{ i is ne 5 }}{{ m is callable }}
{{ i is defined and i > 3 }}{{ nope is defined or true }}{{ 'x' if nope is not defined else 'y' }}{{ i is odd and not i is even }}{{ (i is odd)|string }}
{{ '12'|int }}{{ 'x'|int }}{{ 'x'|int(5) }}{{ '3.7'|int }}{{ 3.9|int }}{{ -3.9|int }}{{ 'ff'|int(base=16) }}{{ '0x1F'|int(0, 16) }}{{ none|int }}{{ ' 42 '|int }}{{ '2.5'|float }}{{ 'x'|float }}{{ 3|float }}{{ true|int }}{{ '+5'|int }}
{{ 2.5|round }}{{ 3.5|round }}{{ 2.675|round(2) }}{{ 42.55|round(1, 'floor') }}{{ 42.51|round(1, 'ceil') }}{{ -3|abs }}{{ -2.5|abs }}{{ 7|round }}{{ 1.005|round(2) }}
{{ "%s and %d"|format('x', 3) }}{{ '%s' % 'y' }}{{ '%d%%' % 5 }}{{ '%.2f' % 3.14159 }}{{ '%s-%s' % ('a', 1) }}{{ '{} {}'.format('a', 1) }}{{ '{1}{0}{{}}'.format('a', 'b') }}{{ '{x}'.format(x=5) }}{{ '%f' % 2 }}{{ '%s' % none }}
{{ d|dictsort }}{{ {'b': 2, 'A': 1}|dictsort }}{{ {'b': 1, 'a': 2}|dictsort(by='value') }}{{ {'b': 1, 'a': 2}|dictsort(false, 'key', true) }}{{ d|items|list }}{{ {'a': 1}|list }}{{ 'ab'|list }}{{ 5|string }}{{ s|wordcount }}
{{ range(5)|list }}{{ range(1, 4)|list }}{{ range(5, 0, -2)|list }}{% for i in range(3) %}{{ i }}{% endfor %}{{ range(0)|list }}{{ dict(a=1, b=2) }}
{{ "a\nb\t\"\'\\ \x41 \u00e9 \101 \q" }}{{ 'a' "b" 'c' }}{{ 1_000 }}{{ 0x1f }}{{ 0b11 }}{{ 1e2 }}
{{- s -}}  x   {{- ' y' }}
a  {{- 'b' -}}   c
{{ {'a': {'b': 1}}['a']['b'] }}{{ {'x': 1}.x }}{{ [1, 2, 3,] }}{{ {'a': 1,} }}{{ [[1, 2], [3]][0][1] }}{{ (1 if yes else 2) + 1 }}
{{ -i }}{{ +i }}{{ --i }}{{ -i|abs }}{{ (-i)|abs }}{{ not i }}{{ not not i }}{{ i - -1 }}{{ n|abs + 1 }}{{ 'a'|upper ~ 'b'|upper }}{{ 1 + 2|string|length }}
{{ big }}{{ big + 1 }}{{ big * 2 }}{{ big / 2 }}{{ f }}{{ f + i }}{{ f * 2 }}{{ yes + 1 }}{{ true + true }}{{ 10 // 3.0 }}
{{ nope }}{{ d.nope }}{{ nil.foo }}{{ i.foo }}{{ s.foo }}{{ xs.foo }}|
{% if xs %}a{% elif d %}b{% else %}c{% endif %}{% if nope %}a{% elif nil %}b{% elif i == 7 %}c{% else %}d{% endif %}{% if not nope and (i > 3 or nil) %}e{% endif %}
{{ messages|default([])|length }}{{ (people|first).name }}{{ (people|selectattr('name', 'in', ['Bob', 'x'])|first).age }}{{ people[0]['name'][0] }}{{ people[-1].name.upper()[1:] }}
{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }}{% endfor %}{% for p in people %}{{ p.name }}{{ ', ' if not loop.last }}{% endfor %}
{{ x }}{% set x = 'a' %}{{ x }}{% set x = x ~ x %}{{ x }}{% set x = [x] + ['b'] %}{{ x }}{% set x = dict(x=x) %}{{ x }}
{% macro box(title) %}<{{ title }}>{{ caller() }}</{{ title }}>{% endmacro %}{% call box('a') %}in{{ i }}{% endcall %}{% call box(title='b') %}{% call box('c') %}x{% endcall %}{% endcall %}
{% macro each(xs) %}{% for x in xs %}{{ caller(x, last=loop.last) }}{% endfor %}{% endmacro %}{% call(x, last=false) each(xs) %}{{ x }}{{ ';' if not last }}{% endcall %}
{% macro m() %}{{ caller is defined }}{{ caller() if caller else 'none' }}{% endmacro %}{{ m() }}{% call m() %}y{% endcall %}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m() }}{{ m(1, 'a', k=2) }}{{ m(*xs) }}{{ m(**{'p': 1}) }}{{ m(0, *xs, z=1, **{'q': 2}) }}
{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs|join('+') }}{% endmacro %}{{ m(1) }}{{ m(1, 3, 4, 5) }}{{ m(*[7, 8, 9]) }}{{ m(**{'b': 5, 'a': 6}) }}
{{ dict(**d) == d }}{{ dict(x=1, **{'y': 2}) }}{{ range(*[1, 4])|list }}{{ namespace(**{'k': 5}).k }}
{% set tree = [{'v': 1, 'c': [{'v': 2, 'c': []}, {'v': 3, 'c': [{'v': 4}]}]}, {'v': 5}] %}{% for n in tree recursive %}{{ n.v }}@{{ loop.depth }}{{ loop.depth0 }}{% if n.c %}({{ loop(n.c) }}){% endif %}{{ ',' if not loop.last }}{% endfor %}
{% for n in [[1, [2]], 3] recursive %}{% set mark = n %}{{ loop(n) if n is iterable else n }}|{{ mark }};{% endfor %}
{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }}{{ loop.changed(x, 'k') }} {% endfor %}{% for x in xs %}{% if loop.changed(x > 2) %}!{% endif %}{{ x }}{% endfor %}
{% for a, (b, c) in [[1, [2, 3]], [4, (5, 6)]] %}{{ a }}{{ b }}{{ c }};{% endfor %}{% set (a, b), c = [[1, 2], 3] %}{{ a }}{{ b }}{{ c }}{% set (e,) = ['z'] %}{{ e }}{% for (x,) in [[1], [2]] %}{{ x }}{% endfor %}{% set (x) = 5 %}{{ x }}
{% generation %}a{% set inside = 1 %}{{ inside }}{% endgeneration %}{{ inside }}|{% for x in xs %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for row in xs|batch(3) %}{{ row }}{% endfor %}{{ xs|batch(3, 'x')|list }}{{ []|batch(2)|list }}{{ xs|slice(3)|list }}{{ xs|slice(3, '-')|list }}{{ 'abc'|batch(2)|list }}{{ xs|slice(9)|list }}
{% for g in people|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join(',') }};{% endfor %}{% for k, ms in people|groupby('on', default=false) %}{{ k }}{{ ms|length }}{% endfor %}{% for k, ms in people|groupby('name') %}{{ k }}{{ ms|length }}{% endfor %}
{% for k, v in [{'a': 'X', 'b': 1}, {'a': 'x', 'b': 2}, {'a': 'W'}]|groupby('a') %}{{ k }}{{ v|length }}{% endfor %}{% for k, v in [{'a': 'X'}, {'a': 'x'}]|groupby('a', case_sensitive=true) %}{{ k }}{{ v|length }}{% endfor %}{{ [{'a': 1}]|groupby('a') }}{{ [{'b': 1}]|groupby('a', default=7) }}
{{ people|sort(attribute='age,name')|map(attribute='name')|list }}{{ people|sort(attribute='age,name', reverse=true)|map(attribute='name')|list }}{{ [[2, 'b'], [1, 'c'], [2, 'a']]|sort(attribute='0,1') }}{{ people|max(attribute='age') }}{{ people|unique(attribute='age')|map(attribute='name')|list }}
[{{ 'ab'|center(7) }}][{{ 'abc'|center(8) }}][{{ 'é'|center(4) }}][{{ 'ab'.center(7, '*') }}][{{ 'abcd'.center(7, '*') }}][{{ 'ab'.ljust(5, '.') }}][{{ 'ab'.rjust(5) }}][{{ 'abc'.center(2) }}][{{ '-7'.zfill(5) }}{{ '+7'.zfill(2) }}{{ 'x'.zfill(-3) }}]
{{ 'foo bar baz qux'|truncate(9) }}|{{ 'foo bar baz qux'|truncate(9, true) }}|{{ 'foo bar baz qux'|truncate(11) }}|{{ 'foo bar baz qux'|truncate(11, false, '...', 0) }}|{{ 'foobarbazquxx'|truncate(7, leeway=0) }}|{{ 'a b c d e f g h'|truncate(5, end='…', leeway=0) }}|{{ 'äöü äöü äöü äöü'|truncate(8, leeway=0) }}
{{ '<a href="x">\'&\'</a>'|e }}{{ '<'|escape }}{{ 5|e }}{{ '&lt;'|forceescape }}{{ 'a b/ü?&='|urlencode }}{{ {'q': 'a b', 'ü/': '1&2'}|urlencode }}{{ [['a', 1], ['b', none]]|urlencode }}
{{ 1|filesizeformat }}|{{ 0|filesizeformat }}|{{ 999|filesizeformat }}|{{ 1000|filesizeformat }}|{{ 1024|filesizeformat(true) }}|{{ 1500000|filesizeformat }}|{{ 123456789012|filesizeformat(binary=true) }}|{{ '2048'|filesizeformat(true) }}|{{ 1.5|filesizeformat }}
{% set j = joiner() %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}{% set k = joiner('; ') %}{{ k() }}a{{ k() }}b{% set c = cycler('o', 'e') %}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{{ 'trim' is filter }}{{ 'nosuch' is filter }}{{ 'odd' is test }}{{ 'nosuch' is test }}{{ 'x' is not filter }}
{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'abc'.partition('x') }}{{ 'abc'.rpartition('x') }}{{ 'añbñ'.find('ñ', 2) }}{{ 'añbñ'.rfind('ñ') }}{{ 'añbñ'.rfind('ñ', 0, 3) }}{{ 'abcabc'.index('c', -4) }}{{ 'abc'.rindex('c') }}{{ 'abc'.find('', 9) }}{{ 'abc'.find('', 3) }}{{ 'aXbXc'.count('X', 2) }}{{ 'abc'.count('') }}{{ 'abc'.find('a', none, -3) }}
{{ 'abc'.startswith('b', 1) }}{{ 'abc'.startswith('b', 1, 1) }}{{ 'abc'.endswith('b', 0, 2) }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'abc'.startswith('', 4) }}{{ 'AB'.isupper() }}{{ 'aB'.islower() }}{{ 'ab1'.islower() }}{{ '12'.isupper() }}{{ 'ab'.isalpha() }}{{ 'a1'.isalnum() }}{{ 'a1'.isalpha() }}{{ 'é'.isascii() }}{{ ''.isascii() }}{{ ''.isalpha() }}
{{ 'a\tbc\td'.expandtabs() }}|{{ 'a\tb\n\tc'.expandtabs(4) }}|{{ 'a\tb'.expandtabs(0) }}|{{ xs.copy() }}{{ d.copy() == d }}{{ xs.count(3) }}{{ xs.index(2) }}
{{ '%5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%.3d|%5s|%-5s|%.2s|%5.1f|%e|%g|%G|%c%c|%r|%i' % (42, 42, -42, 42, 42, 255, 255, 255, 8, 7, 'ab', 'ab', 'abc', 3.14159, 12345.678, 0.00001, 1e20, 'x', 65, 'q', 9) }}
{{ '%(a)s-%(b)05.1f-%(a)r' % {'a': 'x', 'b': 2.25} }}{{ '%(k)s!'|format(k='v') }}{{ 'no places' % {'a': 1} }}{{ '%s' % {'a': 1} }}{{ '%5.1f%%' % 99.5 }}{{ '%s' % (xs,) }}{{ '%+.2e' % -0.5 }}{{ '%08.3f' % -3.14159 }}{{ '%d' % 3.99 }}{{ '%s %s'|format(*['a', 'b']) }}
{{ '{:5}|{:<5}|{:>5}|{:^5}|{:*^7}|{:05d}|{:+d}|{:,}|{:_}|{:x}|{:#X}|{:b}|{:o}'.format(1, 2, 3, 4, 'mid', 42, 7, 1234567, 1234567, 255, 255, 5, 8) }}
{{ '{:.2f}|{:8.3f}|{:<8.1f}|{:e}|{:g}|{:%}|{:.1%}|{:,.2f}|{:+.1f}|{:G}|{}|{:6}'.format(3.14159, 2.5, 2.25, 12345.678, 0.0001, 0.25, 0.125, 1234567.891, 1.0, 1e-10, 1.5, 2.5) }}
{{ '{0!r} {0!s:>4} {k!r:<5}|{:é<4}|{:.2}|{:05}|{}'.format('a', k='b') if false }}{{ '{!r:>5}|{!s:3}|'.format('a', 1) }}{{ '{:é<4}|{:.2}|{:>6}|{:c}|{:5}|{:d}'.format('a', 'xyz', True, 97, False, True) }}{{ '{a:>{b}}' if false }}
{{ none|selectattr('x')|list }}{{ none|map('upper')|list }}{{ 0|select|list }}{{ ''|reject|list }}{{ '0b101'|int(0, 2) }}{{ '0o17'|int(0, 8) }}{{ '\x7f'|tojson(ensure_ascii=true) }}
{% macro f(xs) %}{% for x in xs %}{% if x is mapping %}{{ f(x.values()) }}{% else %}{{ x }},{% endif %}{% endfor %}{% endmacro %}{{ f([1, {'a': 2, 'b': {'c': 3}}]) }}{% macro outer() %}{% macro inner() %}{{ caller() }}{% endmacro %}{% call inner() %}deep{% endcall %}{% endmacro %}{{ outer() }}
{% for m in [1, 2, 3] if m != 2 %}{% if loop.first %}{% continue %}{% endif %}{{ m }}{{ loop.previtem }}{% endfor %}{% for i in range(10) %}{% for j in range(10) %}{% if j > i %}{% break %}{% endif %}{{ j }}{% endfor %}{% if i == 3 %}{% break %}{% endif %}|{% endfor %}
{% set s2 %}{% for x in xs %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}{% endset %}{{ s2 }}{% filter replace('a', 'b')|upper %}aXa{% endfilter %}
{{ loop }}|{% for x in [1] %}{% for y in [2] %}{{ loop.index }}{% endfor %}{{ loop.length }}{% endfor %}{{ x }}|
{% for x in xs %}{{ x }}{% break %}{% else %}else{% endfor %}|{% for x in xs %}{% continue %}{% else %}else{% endfor %}|{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}else{% endfor %}|{% for x in xs %}{% for y in [1] %}{% break %}{% else %}{% break %}{% endfor %}{{ x }}{% endfor %}
{{ "<b>'"|safe + "<" + q }}|{{ "<" + "<b>"|safe }}|{{ "<"|safe + people[0].name + {'k': '"'}|tojson }}|{{ "<"|e|e }}{{ "<"|e|forceescape }}{{ "<"|safe|e }}|{{ ("<"|safe) ~ "<" }}{{ ["<"|safe, "<"]|join("&") }}{{ ("<"|safe|replace("<", ">")) + "<" }}
{{ ("<x "|safe|trim) + "<" }}{{ ("<x"|safe).upper() + "<" }}{{ ("<x"|safe)[:1] + "<" }}{{ ("<"|safe * 2) + "<" }}{{ ("<"|safe|string) + "<" }}{{ ("<"|safe|indent) + "<" }}{{ ("<"|safe|title) + "<" }}{{ "<"|safe is escaped }}{{ "<" is escaped }}{{ 5|e is escaped }}
{{ 'y' if [] | select else 'n' }}{{ 'y' if people|selectattr('nope') else 'n' }}{{ 'y' if []|map('upper') else 'n' }}{{ 'y' if []|unique else 'n' }}{{ 'y' if []|reverse else 'n' }}{{ 'y' if {}|items else 'n' }}{{ 'y' if []|batch(2) else 'n' }}{{ 'y' if []|select|list else 'n' }}{{ 'y' if []|sort else 'n' }}{{ [] | select is sequence }}{{ [] | select is iterable }}
{{ nil[1:] }}
{{ 3.0 is odd }}{{ 2.5 is even }}{{ -3.0 is odd }}{{ f is odd }}
{{ 'é日本'.isalpha() }}{{ 'é日1'.isalnum() }}{{ 'é '.isalnum() }}{{ '²½Ⅷ'.isalnum() }}{{ '٣'.isdigit() }}{{ '٣'.isdecimal() }}{{ '½'.isdecimal() }}{{ 'e\u0301'.isalpha() }}{{ '🙂'.isalnum() }}{{ '12'.isdecimal() }}{{ ''.isdecimal() }}
{{ nope[1:] }}
{{ ', '.join([1, 2]) }}
{{ ', '.join(['a', none]) }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ 'a' + none }}
{{ nope.x }}
{{ nope.x.y }}
{{ d.nope.x }}
{{ nope + 'a' }}
{{ nope() }}
{{ s() }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1 in 5 }}
{{ 1 in 'abc' }}
{{ none|length }}
{{ 5|length }}
{{ nope|tojson }}
{{ xs.append(1) }}
{{ d.update({'a': 1}) }}
{{ d.pop('a') }}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% set a, b = [1, 2, 3] %}
{% set d.x = 1 %}
{% set nope.x = 1 %}
{{ 'a'|nosuchfilter }}
{{ 'a' is nosuchtest }}
{{ raise_exception('no') }}
{{ range(1, 2, 0) }}
{{ range(10000000) }}
{{ 'abc'.split('') }}
{{ [1, 'a']|sort }}
{{ [none, 1]|min }}
{{ '%d' % 'x' }}
{{ '%s %s' % 'x' }}
{{ '%s' % ('a', 'b') }}
{% for k, v in none|items %}{% endfor %}
{{ {[]: 1} }}
{{ m(1, 2) }}{% macro m(a) %}{% endmacro %}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=2) }}
{{ s.__class__ }}|
{{ ''.__class__.__mro__ }}
{% macro m() %}{% endmacro %}{% call m() %}x{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% call 5 %}x{% endcall %}
{% call nope() %}x{% endcall %}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1, 2]) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(a=1, **{'a': 2}) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(**5) }}
{{ f(**a, b=1) }}
{{ f(*a, *b) }}
{% for x in [1] %}{{ loop([2]) }}{% endfor %}
{% for x in [1] recursive %}{{ loop(5) }}{% endfor %}
{% for a, (b, c) in [[1, [2]]] %}{% endfor %}
{% set (a, b) %}x{% endset %}
{% set e, = ['z'] %}
{% for x, in [[1]] %}{% endfor %}
{{ people|groupby('on')|list }}
{{ 'abc'|truncate(2) }}
{{ 'abc'.index('x') }}
{{ 'abc'.center(9, 'xx') }}
{{ '%q' % 1 }}
{{ '%(x)s' % {'a': 1} }}
{{ '%x' % 1.5 }}
{{ '{:d}'.format('a') }}
{{ '{:s}'.format(1) }}
{{ '{:Q}'.format(1) }}
{{ '{:.2f}'.format('a') }}
{{ '{!q}'.format(1) }}
{{ xs|map('nosuch')|list }}
{{ xs|select('nosuch')|list }}
{{ people|selectattr('age', 'nosuch')|list }}
{% if false %}{{ 'a'|map('nosuch')|list }}{% endif %}{{ 1/0 }}
{{ cycler() }}
{{ none|batch(2)|list }}
{{ 5|groupby('a') }}
{% include 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% extends 'x' %}
{% generation %}
{% macro m() %}{% macro n() %}{% endmacro %}
{% call m() %}
{% if %}{% endif %}
{% if 1 %}
{% endif %}
{% for x in xs %}
{% for x xs %}{% endfor %}
{% else %}
{% unknown %}
{{ 1 + }}
{{ (1 }}
{{ [1, }}
{{ 'abc }}
{{ "abc
{{ a b }}
{{ a..b }}
{{ a. }}
{{ 1 ! 2 }}
{{ }}
{{
{%
{% set %}
{% set x %}
{% set 1 = 2 %}
{% set true = 2 %}
{% macro %}{% endmacro %}
{% break %}
{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{{ f(a=1, a=2) }}
{{ f(a=1, 2) }}
{{ x is }}
{{ x| }}
{{ "\xZZ" }}
""".strip("\n").split("\n")

BLOCKS = [
    "  {% if yes %}\n    x\n  {% endif %}\ny",
    "  {%+ if yes %}\n    x\n  {%+ endif +%}\ny",
    "a\n  {# c #}\nb {# d #}\nc",
    "a\n\n   {%- if yes -%}\n\n  x  \n\n {%- endif -%}\n\n b",
    "  {{ i }}\n  {{ i }}  \n",
    "x {% if yes %}\n y {% endif %} z\n",
    "{% for x in xs %}\n  {{ x }}\n{% endfor %}\nend\n\n",
    "\r\n{% if yes %}\r\na\r\n{% endif %}\rb\r",
    "{% if yes %}{% endif %}\n\n\nx",
    "\t {% set z = 1 %}\n\t {{ z }}\n \u00a0{% set z = 2 %}\n{{ z }}",
    "{% raw %}\n  {{ x }}\n{% endraw %}\nq\n  {% raw -%}\n  r\n  {%- endraw %}  s",
    "a {#- x -#} b {#+ y +#}\nc",
    "{{ 'multi\nline' }}{# multi\nline #}{{\n i\n}}",
    "{%- for x in xs -%} {{- x -}} {%- endfor -%}",
    "{% if yes -%}\n a\n{%- else -%}\n b\n{%- endif %}\nc",
    "}} %} #} { { { % {",
    "{{ '}}' }}{{ '%}' }}{% if '%}' %}x{% endif %}{{ {'a': {'b': {}}} }}",
    "line {{ i }} {% if yes %} inline {% endif %} end\n{% if yes %} starts {% endif %}\n",
]


def main():
    rows = []
    for source in SNIPPETS + BLOCKS:
        env = environment()
        try:
            text = env.from_string(source).render(**VARIABLES)
            if "generator object" in text or "dict_" in text or " at 0x" in text:
                raise SystemExit(f"not a good snippet: {source}")
        except Exception:
            text = None
        rows.append({"template": source, "text": text})
    every = "\n".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    digest = lambda text: hashlib.sha256(text.encode()).hexdigest()
    out = {"variables": VARIABLES, "rows": rows,
           "every_character": {"upper": digest(every.upper()), "lower": digest(every.lower()), "title": digest(every.title())}}
    path = pathlib.Path(__file__).with_name("snippets.json")
    path.write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(len(rows), "snippets,", sum(r["text"] is None for r in rows), "errors")
    for row in rows[:66 + 34]:
        if row["text"] is None:
            print("error:", row["template"])


if __name__ == "__main__":
    main()

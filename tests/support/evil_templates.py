"""50 chat templates that compute for ever, take all memory or write without end."""

from __future__ import annotations

_MANY = "{% for i in range(99999) %}"
_END = "{% endfor %}"


def _nested(depth: int, body: str) -> str:
    return _MANY * depth + body + _END * depth


def _doubled(body: str, times: int = 64) -> str:
    return "{% set ns = namespace(x='ab') %}" + body * times + "{{ ns.x | length }}"


EVIL = (
    # one operation that holds the interpreter's lock
    "{{ 10 ** (10 ** 8) }}",
    "{{ (7 ** 999999) ** 99 }}",
    "{{ (3 ** 3000000) % 7 }}",
    "{{ (10 ** 4000000) | string | length }}",
    "{{ 10 ** (messages | length * 10 ** 8) }}",
    "{{ 1.5 * (10 ** 10 ** 9) }}",
    "{{ (2 ** 33333333) | pprint }}",
    "{{ [1] * 10 ** 10 }}",
    "{{ 'a' * 10 ** 10 }}",
    "{{ messages[0].content * 10 ** 10 }}",
    # padding
    "{{ 'x' | indent(20000) }}" + "{{ ('x\n' * 99999) | indent(20000) }}",
    "{{ ('x\n' * 999999) | indent(9999) }}",
    "{{ 'x' | center(10 ** 10) }}",
    "{{ 'x'.zfill(10 ** 10) }}",
    "{{ ('\t' * 99999).expandtabs(10 ** 8) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%.999999999f' % 1 }}",
    "{{ '{:2000000000}'.format(1) }}",
    "{{ '%1000000000s' | format('x') }}",
    "{{ {'a': 1} | tojson(indent=10 ** 9) }}",
    "{{ ('x ' * 9999999) | wordwrap(1) }}",
    # loops
    _nested(2, "x"),
    _nested(4, "{% if messages %}{% endif %}"),
    _nested(2, "{{ messages | tojson }}"),
    _MANY + "{{ 'y' * 99999 }}" + _END,
    "{% for a in 'x' * 9999999 %}{{ a }}" + _END,
    "{% for a in range(99999) | list * 99 recursive %}{{ a }}" + _END,
    "{% for a in range(99999) | map('string') | list * 999 %}" + _END,
    # what grows
    _doubled("{% set ns.x = ns.x ~ ns.x %}"),
    _doubled("{% set ns.x = [ns.x, ns.x] | string %}"),
    _doubled("{% set ns.x = ns.x.replace('', ns.x) %}", 12),
    _doubled("{% set ns.x = ns.x | replace('a', ns.x) %}"),
    _doubled("{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}"),
    _doubled("{% set ns.x = (ns.x ~ ns.x) | tojson | tojson %}"),
    _doubled("{% set ns.x = ns.x | list | string %}"),
    _MANY + "{% set messages = messages + messages %}" + _END,
    "{% set ns = namespace(x=messages) %}" + "{% set ns.x = ns.x + ns.x %}" * 50,
    # calls
    "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(99) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f(n) %}" + _MANY + "{{ f(n) if n else 1 }}" + _END + "{% endmacro %}{{ f(9) }}",
    "{% macro f() %}{{ 'x' * 9999999 }}{% endmacro %}" + "{{ f() ~ f() }}" * 99,
    "{{ lipsum(n=10 ** 8) }}",
    "{{ lipsum(n=99999, html=False, min=9999, max=99999) }}",
    "{% set c = cycler(*range(99999)) %}" + _nested(2, "{{ c.next() }}"),
    # sorting, searching, grouping
    "{{ (range(99999) | list * 999) | sort | length }}",
    "{{ (range(99999) | list * 999) | unique | list | length }}",
    "{{ (range(99999) | list * 99) | sum(start=10 ** 9999) }}",
    "{{ ('<' * 9999999) | striptags | length }}",
    "{{ ('a@' * 999999) | urlize }}",
    # a whole book, well within the time
    "{{ 'x' * 9000000 }}",
)

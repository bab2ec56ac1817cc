"""Forms of secrets that no name announces: keys, tokens, passwords in addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from jupyter_llm.notebook.values.secrets import is_mixed, read_lists

_PREFIXES: Final = read_lists("token_prefixes.txt")

_RANDOM: Final = 0.3  # share of a random text's characters that begin a run
_LEAST: Final = 26  # shortest such text that cannot be part of a name

# After its prefix, a token has 14 characters or more. Eight of them, not all letters, are
# contiguous.
_BODY: Final = (
    r"(?=(?:[A-Za-z0-9]*+[\w+/~.-]){0,40}?(?=[A-Za-z0-9]{8})(?:[A-Za-z]++\d|\d++[A-Za-z]))"
    r"[\w+/~-]{14,}(?:[.=:][\w+/=~-]+)*=*"
)
BY_PREFIX = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(f'(?P<{k}>{v[0]})' for k, v in _PREFIXES.items())}){_BODY}"
)
# Keys of services that are not listed: a short word, a sign, and random characters.
UNLISTED = re.compile(
    r"(?<![\w+/.:,@%-])(?!(?:sha|md)\d|v\d)(?:[a-z][a-z0-9]{0,7}|[A-Z][A-Z0-9]{0,7})"
    r"(?:[-_.](?:[a-z0-9]{1,8}|[A-Z0-9]{1,8})){0,4}?[-_.]"
    r"(?P<body>[A-Za-z0-9]{6,}(?:[-_][A-Za-z0-9]{6,})*+)(?![\w+/=%-]|\.\w)"
)
_ID = re.compile(r"(?i)id[\"']?\s{0,3}[=:]\s{0,3}[\"']?\Z")
_ALL_THREE = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d).*")


def unlisted(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of a text that may be a service's key, unless it is called an id."""
    for match in UNLISTED.finditer(text, start, stop) if stop - start > _LEAST else ():
        body, before = match["body"], text[max(0, match.start() - 12) : match.start()]
        is_random = len(body) >= _LEAST and _ALL_THREE.fullmatch(body) and is_mixed(body, _RANDOM)
        if is_random and not _ID.search(before):
            yield match.span()


# A text without such a long word has no token.
LONG = re.compile(r"[\w+/~.=:%$-]{12,}")
PRIVATE_KEY = re.compile(
    r"(?s)(?P<private_key>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z))"
)

OTHERS = re.compile(
    r"""
    (?P<aws_access_key>\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b | \bLTAI[A-Za-z0-9]{12,24}\b)
    | (?P<jwt>(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)
    | (?P<twilio_key>\bSK[0-9a-f]{32}\b) | (?P<mailgun_key>\bkey-[0-9a-f]{32}\b)
    | (?P<fernet_key>
      (?<![\w+/=-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{43}=(?![\w=])
    )
    | (?P<mailchimp_key>\b[0-9a-f]{32}-us\d{1,2}\b)
    | (?P<telegram_token>(?<!\d)\d{8,10}:AA[\w-]{30,35}(?![\w-]))
    | (?P<discord_token>\b[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w-]))
    | (?P<azure_secret>(?<![\w~.-])[\w~.]{3}\dQ~[\w~.-]{31,34}(?![\w~.-]))
    | (?P<terraform_token>\b\w{14}\.atlasv1\.[\w-]{40,})
    | (?P<slack_webhook>(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/]{16,})
    | (?P<discord_webhook>(?<=/api/webhooks/)\d{10,}/[\w-]{30,})
    | (?P<signature>(?<=[?&]sig=)[\w%+/=-]{16,} | (?<=[?&]X-Amz-Signature=)[0-9a-f]{40,})
    | (?P<password_hash>\$(?:2[abxy]?|[1567y]|argon2\w*)\$[\w./$=,+]{20,})
    | (?P<bearer>(?<=Bearer[ ])[\w.~+/=-]{12,}) | (?P<basic_auth>(?<=Basic[ ])[\w+/=]{12,})
    """,
    re.VERBOSE | re.DOTALL,
)
UNNAMED: Final = re.compile(
    r"""(?x)
    (?<![\w+.-])[A-Za-z][\w+.-]*+://[^\s/:@'\"{}]*:
      (?P<in_url>(?!\{|\$\{|//|\d{1,5}[/?\#,;])(?:[^\s/'\"]+|[^\s'\"@]+))@
    | \b(?:curl|wget|https?|rclone|lftp)(?=[ \t])[^\n]{0,300}?\s(?:-u|--user|-a|--auth)[ =]?["']?
      [\w.@+-]+[:,](?P<of_login>[^\s"']+)
    | \b(?:sshpass|mysql\w*|mariadb\w*|mongo\w*|login|smbclient|ldap\w+|mosquitto\w*|(?:un)?zip|7z
      |openssl)\b[^\n]{0,300}?\s-[pPwk]\s{0,4}(?P<of_flag>'[^'\n]+'|"[^"\n]+"|[^\s"'-][^\s"']*)
    | \s-U[ ]?["']?[\w.\\/@-]+%(?P<of_share>[^\s"']+)
    | (?i:\b(?:identified\s+by|password(?:\s+as)?)\s+)(?P<in_sql>'[^'\n]+')
    | (?m:^|["'])(?!(?:[\da-f]{1,4}:){2})[\w*-][\w.*-]*:(?:\d{2,5}|\*):[\w*-]+:[\w.*-]+:
      (?P<pgpass>(?!\d*(?:\s|$))[^\s:'"]+)
    | ["'](?!(?i:mailto|to|cc|bcc|from|sip|xmpp|acct|e?mail):)[A-Za-z][\w.-]*:
      (?P<of_host>(?=[^\s:/@'"]*[\W\d])[^\s:/@'"]{5,})@[\w-]+[.:][\w.:-]+["']
    | (?i:\b(?:sqlplus|(?:exp|imp)dp|sqlldr|rman|connect|\w*dsn|oracle))
      [^\n]{0,80}?["'\s(=](?<![/@])[A-Za-z][\w$\#]*/(?P<of_user>"[^"\n]+"|(?!v?\d)[^\s/@'"]{3,})@[\w/]
    """
)
"""Passwords without a name; the matching group has the password."""

PRINTED: Final = (
    re.compile(
        r"""Index\((?P<value>\[(?:'[^']*'|"[^"]*"|[^\[\]'"])*+\]),"""
        r"[^\[\]()]*?name='(?P<name>[^']{1,60})'"
    ),
    re.compile(r"Series: '(?P<name>[^']{1,60})' \[[^\n]*\]\n\[\n(?P<value>[\s\S]*?)\n\]"),
    re.compile(
        r"(?m)(?P<value>(?:^\S+ {2,}\S.*\n)+)"
        r"Name: (?P<name>.{1,60}?), (?:Length: \d+, )?dtype:"
    ),
)
"""Printed values before or below their name."""

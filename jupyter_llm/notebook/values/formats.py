"""Forms of secrets that need no name beside them: keys, tokens, passwords in addresses."""

from __future__ import annotations

import re
from typing import Final

# How the tokens of services begin, by the name under which `/show` tells them. What each maker
# says of its own is public. A token goes on for 14 characters or more, and some of them, not all
# letters, stand together.
_PREFIXES: Final = {
    "openai_key": "sk-(?!learn)(?:proj-|svcacct-|ant-|or-v1-|lf-)?",
    "stripe_key": "[srp]k_(?:live|test)_|whsec_",
    "github_token": "gh[pousr]_|github_pat_",
    "gitlab_token": "gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-",
    "hf_token": "(?:hf_|api_org_)(?=[A-Za-z0-9]{20})",
    "slack_token": "xox[abceoprs][.-]|xapp-",
    "google_key": r"AIza|ya29\.|GOCSPX-|1//0[a-z](?=[\w-]{20})",
    "npm_token": "npm_(?=[A-Za-z0-9]{30})",
    "pypi_token": r"pypi-(?=[\w-]{30})",
    "notion_token": "ntn_|secret_(?=[A-Za-z0-9]{30})",
    "aws_key": "ABSK(?=[A-Za-z0-9]{30})",
    "service_token": (
        r"SG\.|shp(?:at|ca|pa|ss)_|do[opr]_v1_|dapi(?=[0-9a-f])|lin_api_|pat(?=\w{14}\.)|PMAK-|figd_"
        r"|glc_|glsa_|NRAK-|sntr[yu]s_|dp\.(?:pt|st|ct|sa|scim|audit)\.|dt0c01\.|hv[sbr]\.|pul-|sbp_"
        r"|sb_secret_|pscale_(?:tkn|pw|oauth)_|r8_|gsk_|xai-|nvapi-|pplx-|tvly-|pcsk_|lsv2_(?:pt|sk)_"
        r"|wandb_v1_|KGAT_|dckr_(?:pat|oat)_|rubygems_|ATATT3|ATBB|sq0(?:atp|csp|idp)-|EAAA"
        r"|AGE-SECRET-KEY-1|tskey-(?:auth|api)-"
    ),
}
_BODY: Final = (
    r"(?=(?:[A-Za-z0-9]*+[\w+/~.-]){0,40}?(?=[A-Za-z0-9]{8})(?:[A-Za-z]++\d|\d++[A-Za-z]))"
    r"[\w+/~-]{14,}(?:[.=:][\w+/=~-]+)*=*"
)
BY_PREFIX = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(f'(?P<{k}>{v})' for k, v in _PREFIXES.items())}){_BODY}"
)
# Where none of these long words is, no token is.
LONG = re.compile(r"[\w+/~.=:-]{16,}")

OTHERS = re.compile(
    r"""
    (?P<private_key>
      -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY(?:[ ]BLOCK)?-----.*?
        (?:-----END[ ][A-Z0-9 ]*PRIVATE[ ]KEY(?:[ ]BLOCK)?-----|\Z)
    )
    | (?P<aws_access_key>\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b | \bLTAI[A-Za-z0-9]{12,24}\b)
    | (?P<jwt>(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)
    | (?P<twilio_key>\bSK[0-9a-f]{32}\b) | (?P<mailgun_key>\bkey-[0-9a-f]{32}\b)
    | (?P<mailchimp_key>\b[0-9a-f]{32}-us\d{1,2}\b)
    | (?P<telegram_token>\b\d{8,10}:AA[\w-]{30,35}(?![\w-]))
    | (?P<discord_token>\b[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w-]))
    | (?P<azure_secret>(?<![\w~.-])[\w~.]{3}\dQ~[\w~.-]{31,34}(?![\w~.-]))
    | (?P<terraform_token>\b\w{14}\.atlasv1\.[\w-]{40,})
    | (?P<slack_webhook>(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/]{16,})
    | (?P<discord_webhook>(?<=/api/webhooks/)\d{10,}/[\w-]{30,})
    | (?P<signature>(?<=[?&]sig=)[\w%+/=-]{16,} | (?<=[?&]X-Amz-Signature=)[0-9a-f]{40,})
    | (?P<bearer>(?<=Bearer[ ])[\w.~+/=-]{12,}) | (?P<basic_auth>(?<=Basic[ ])[\w+/=]{12,})
    """,
    re.VERBOSE | re.DOTALL,
)
UNNAMED: Final = re.compile(
    r"""(?x)
    (?<![\w+.-])[A-Za-z][\w+.-]*+://[^\s/:@'\"{}]*:(?P<in_url>(?!\{|\$\{|//)[^\s/'\"]+)@
    | \b(?:curl|wget|https?)(?=[ \t])[^\n]{0,300}?\s(?:-u|--user|-a|--auth)[ =]?["']?[\w.@+-]+:
      (?P<of_login>[^\s"']+)
    | \b(?:sshpass|mysql\w*)\b[^\n]{0,300}?\s-p[ ]?(?P<of_flag>[^\s"'-][^\s"']*)
    | (?i:\bidentified\s+by\s+)(?P<in_sql>'[^'\n]+')
    """
)
"""Where passwords stand, in whichever group has matched, though nothing says their names."""

NAMED: Final = (
    # With blanks or signs between them: "the password is hunter2", `<token>…<`.
    re.compile(
        r"""(?x)
        (?<![\w-])(?<!like[ ]a[ ])-{0,2}(?P<name>[A-Za-z][\w-]{0,60}(?:[ ](?i:key))?)
        (?:[ ]+(?:is|was)\b)?(?:(?P<blank>[ \t]+["'`]?)|[ \t]*:?[>|*`]{1,4}[ \t|*`"']{0,6})
        (?P<value>(?=[^\s\d]*\d)(?=[^\sA-Za-z]*[A-Za-z])[^\s'"`<>,;:=(){}\[\]|]{5,})
        """
    ),
    re.compile(
        r"""(?x)
        (?<![\w-])--?(?P<name>[A-Za-z][\w-]{0,40})(?:\s+|=)
        (?P<value>"[^"\n]+"|'[^'\n]+'|[^\s'"-][^\s'"]*)
        """
    ),
    re.compile(r"<(?P<name>[A-Za-z][\w.-]{0,60})(?:\s[^<>]{0,200})?>(?P<value>[^<>]+)</(?P=name)>"),
    re.compile(r"(?i)\b(?P<name>password|passwd)\s+(?:as\s+|by\s+)?(?P<value>'[^'\n]+')"),
    re.compile(
        r"(?m)(?:\blogin\s+\S+\s+|^[ \t]*[%!]?(?:set_)?(?:env|export|set)[ \t]+)"
        r"(?P<name>\w+)[ \t]+(?P<value>\S+)"
    ),
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
"""Where secrets stand with no sign of an assignment between them and their names."""

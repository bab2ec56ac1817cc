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
    "google_key": r"AIza|ya29\.|GOCSPX-",
    "npm_token": "npm_(?=[A-Za-z0-9]{30})",
    "pypi_token": r"pypi-(?=[\w-]{30})",
    "sendgrid_key": r"SG\.",
    "shopify_token": "shp(?:at|ca|pa|ss)_",
    "digitalocean_token": "do[opr]_v1_",
    "databricks_token": "dapi(?=[0-9a-f])",
    "linear_key": "lin_api_",
    "notion_token": "ntn_|secret_(?=[A-Za-z0-9]{30})",
    "airtable_token": r"pat(?=\w{14}\.)",
    "postman_key": "PMAK-",
    "figma_token": "figd_",
    "grafana_token": "glc_|glsa_",
    "newrelic_key": "NRAK-",
    "sentry_token": "sntr[yu]s_",
    "doppler_token": r"dp\.(?:pt|st|ct|sa|scim|audit)\.",
    "dynatrace_token": r"dt0c01\.",
    "vault_token": r"hv[sbr]\.",
    "pulumi_token": "pul-",
    "supabase_key": "sbp_|sb_secret_",
    "planetscale_token": "pscale_(?:tkn|pw|oauth)_",
    "replicate_token": "r8_",
    "groq_key": "gsk_",
    "xai_key": "xai-",
    "nvidia_key": "nvapi-",
    "perplexity_key": "pplx-",
    "tavily_key": "tvly-",
    "pinecone_key": "pcsk_",
    "langsmith_key": "lsv2_(?:pt|sk)_",
    "wandb_key": "wandb_v1_",
    "kaggle_token": "KGAT_",
    "docker_token": "dckr_(?:pat|oat)_",
    "rubygems_key": "rubygems_",
    "atlassian_token": "ATATT3|ATBB",
    "square_token": "sq0(?:atp|csp|idp)-",
    "age_key": "AGE-SECRET-KEY-1",
    "aws_key": "ABSK(?=[A-Za-z0-9]{30})",
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
OTHER_HINT = re.compile(
    r"-----BEGIN|A[KSBC]IA|ACCA|LTAI|eyJ|SK[0-9a-f]|key-|-us\d|:AA|[MNO][\w-]{23}|Q~|atlasv1"
    r"|hooks\.|webhooks/|sig=|Signature=|Bearer|Basic"
)

_URL = re.compile(
    r"(?<![\w+.-])[A-Za-z][\w+.-]*+://[^\s/:@'\"{}]*:(?P<value>(?!\{|\$\{|//)[^\s/'\"]+)@"
)
_XML = re.compile(
    r"<(?P<name>[A-Za-z][\w.-]{0,60})(?:\s[^<>]{0,200})?>(?P<value>[^<>]+)</(?P=name)>"
)
_SQL = re.compile(
    r"(?i)\b(?:password|identified\s+by|passwd)\s+(?:as\s+|by\s+)?(?P<value>'[^'\n]+')"
)
_FLAG = re.compile(
    r"""(?<![\w-])--?(?P<name>[A-Za-z][\w-]{0,40})(?:\s+|=)"""
    r"""(?P<value>"[^"\n]+"|'[^'\n]+'|[^\s'"-][^\s'"]*)"""
)
_LOGIN_FLAG = re.compile(
    r"""\b(?:curl|wget|https?)(?=[ \t])[^\n]{0,300}?\s(?:-u|--user|-a|--auth)[ =]?"""
    r"""["']?[\w.@+-]+:(?P<value>[^\s"']+)"""
)
_PASS_FLAG = re.compile(
    r"""\b(?:sshpass|mysql\w*)\b[^\n]{0,300}?\s-p[ ]?(?P<value>[^\s"'-][^\s"']*)"""
)
_NETRC = re.compile(r"\blogin\s+\S+\s+password\s+(?P<value>\S+)")
# In a sentence, where it looks like one: "the password is hunter2".
_SAID = re.compile(
    r"(?i)\b(?P<name>password|passwd|passphrase|pwd|api[ _-]key|token|secret(?: key)?)"
    r"[ ]+(?:(?:is|was)[ ]+)?['\"`]?(?P<value>(?=\S*\d)(?=\S*[A-Za-z])[^\s'\"`<>,;:=(){}\[\]]{6,})"
)
_ENV_LINE = re.compile(
    r"(?m)^[ \t]*[%!]?(?:set_)?(?:env|export|set)[ \t]+(?P<name>\w+)[ \t]+(?P<value>\S+)"
)

_INDEX = re.compile(
    r"""Index\((?P<value>\[(?:'[^']*'|"[^"]*"|[^\[\]'"])*+\]),[^\[\]()]*?name='(?P<name>[^']{1,60})'"""
)
_POLARS_SERIES = re.compile(
    r"Series: '(?P<name>[^']{1,60})' \[[^\n]*\]\n\[\n(?P<value>.*?)\n\]", re.DOTALL
)

UNNAMED: Final = (_URL, _LOGIN_FLAG, _PASS_FLAG)
"""Where passwords stand, in the group `value`, though nothing says their names."""

NAMED: Final = (_XML, _SQL, _FLAG, _NETRC, _SAID, _ENV_LINE, _INDEX, _POLARS_SERIES)
"""Where they stand with no sign of an assignment between them and their names."""

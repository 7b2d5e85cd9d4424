"""The page of the providers' profiles, from the policy's own data."""

from tierqueue.router.policy.profiles import PROFILES
from tierqueue.router.policy.providers import Profile
from tools.reference import markdown

_INTRODUCTION = """
`profile = "together"` in a deployment gives what the deployment does not state itself. Where the
call goes to the provider's own address, it gives `base_url`, `key_env` and `boundary` too
(`vendor:together`); servers of one's own and other addresses state `base_url` and `boundary`. The
sources are the providers' own pages and servers' code, listed below, several of them read in
excerpts only; nothing was tried with a key by us. `make test-live` tries it with yours, and what
the policy states stands above it. An unknown name is refused with the nearest one.
"""

_AFTER = """
**log-probabilities**: `top_logprobs` as the profile gives it; in brackets the most that some of the
provider's models show, to be stated where yours does. A server that refuses them is asked again
without. **cached tokens**: where its `usage` counts what its prompt cache served, priced as
`cache_read`. **streams**: where an answer that is streamed, as `first_token_timeout` has it, tells
its usage: `option`, in answer to `stream_options`, or `always`. **cheaper**: `batch`, in whose form
its batches are asked for (`batch.api`) and what a request costs in them, as a share of its live
price, where its pages say so; `flex`, a service tier at the price of batches. What you pay is what
your policy states.
"""


def page() -> str:
    """The whole page."""
    return markdown.page(
        "Providers: the profiles",
        _INTRODUCTION,
        markdown.table(
            ("profile", "what it is", "`base_url`", "`key_env`", "`limit_parameter`"),
            (
                (
                    f"`{name}`",
                    profile.title,
                    f"`{profile.base_url}`" if profile.base_url else "stated",
                    f"`{profile.key_env}`" if profile.key_env else "",
                    f"`{profile.limit_parameter}`",
                )
                for name, profile in PROFILES.items()
            ),
        ),
        markdown.table(
            (
                "profile",
                "`structured_output`",
                "log-probabilities",
                "`prompt_cache`",
                "cached tokens",
                "streams",
                "cheaper",
            ),
            ((f"`{name}`", *_given(profile)) for name, profile in PROFILES.items()),
        ),
        _AFTER,
        "## Sources",
        "\n".join(
            f"- `{name}`: {', '.join(f'<{source}>' for source in profile.sources)}"
            for name, profile in PROFILES.items()
        ),
    )


def _given(profile: Profile) -> tuple[str, ...]:
    shown = str(profile.top_logprobs or "none")
    if profile.most_logprobs > profile.top_logprobs:
        shown += f" ({profile.most_logprobs})"
    if profile.logprobs_parameter == "number":
        shown += ", as a number in `logprobs`"
    cheaper = [] if profile.batch is None else [f"`batch` as `{profile.batch}`"]
    if profile.batch_price:
        cheaper[0] += f" at {profile.batch_price}"
    cheaper += ["`flex`"] if profile.flex else []
    return (
        f"`{profile.structured_output}`",
        shown,
        f"`{profile.prompt_cache}`",
        f"`{profile.cached_tokens}`" if profile.cached_tokens else "not told",
        f"`{profile.stream_usage}`",
        ", ".join(cheaper),
    )

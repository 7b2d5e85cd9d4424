"""The profiles: what each provider's own documents say that its wire takes and gives."""

from tierqueue.router.policy.providers import ANTHROPIC_URL, OPENAI_URL, Profile

PROFILES: dict[str, Profile] = {
    "openai": Profile(
        title="OpenAI",
        sources=(
            "https://platform.openai.com/docs/api-reference/chat",
            "https://developers.openai.com/api/docs/guides/prompt-caching",
            "https://developers.openai.com/api/docs/guides/flex-processing",
            "https://developers.openai.com/api/docs/guides/batch",
        ),
        base_url=OPENAI_URL,
        key_env="OPENAI_API_KEY",
        domains=("api.openai.com",),
        limit_parameter="max_completion_tokens",  # models that reason refuse max_tokens
        most_logprobs=20,  # models that reason refuse them
        prompt_cache="key",
        batch=True,
        flex=True,
    ),
    "anthropic": Profile(
        title="Anthropic",
        sources=(
            "https://docs.claude.com/en/api/messages",
            "https://docs.claude.com/en/docs/build-with-claude/structured-outputs",
            "https://docs.claude.com/en/docs/build-with-claude/prompt-caching",
            "https://docs.claude.com/en/docs/build-with-claude/batch-processing",
        ),
        engine="anthropic",
        base_url=ANTHROPIC_URL,
        key_env="ANTHROPIC_API_KEY",
        domains=("api.anthropic.com",),
        prompt_cache="marks",
        cached_tokens="cache_read_input_tokens",
        stream_usage="always",
        batch=True,
    ),
    "azure": Profile(
        title="Azure OpenAI",
        sources=(
            "https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
            "https://learn.microsoft.com/azure/foundry/openai/how-to/prompt-caching",
            "https://learn.microsoft.com/azure/foundry/openai/how-to/flex-processing",
            "https://learn.microsoft.com/azure/foundry/openai/how-to/batch",
        ),
        key_env="AZURE_OPENAI_API_KEY",
        domains=("openai.azure.com", "services.ai.azure.com"),
        limit_parameter="max_completion_tokens",
        most_logprobs=20,
        prompt_cache="key",
        # Its batches are asked of a deployment of another kind, with another name.
        flex=True,
    ),
    "openrouter": Profile(
        title="OpenRouter",
        sources=(
            "https://openrouter.ai/docs/api-reference/parameters",
            "https://openrouter.ai/docs/structured-outputs",
        ),
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        domains=("openrouter.ai",),
        most_logprobs=20,  # as the provider behind it does
        stream_usage="always",
    ),
    "together": Profile(
        title="Together",
        sources=(
            "https://docs.together.ai/docs/inference/chat/logprobs",
            "https://docs.together.ai/docs/json-mode",
            "https://docs.together.ai/docs/batch-inference",
        ),
        base_url="https://api.together.xyz/v1",
        key_env="TOGETHER_API_KEY",
        domains=("api.together.xyz", "api.together.ai"),
        top_logprobs=20,
        most_logprobs=20,
        logprobs_parameter="number",
        stream_usage="always",
        batch=True,
    ),
    "fireworks": Profile(
        title="Fireworks",
        sources=(
            "https://docs.fireworks.ai/api-reference/post-chatcompletions",
            "https://docs.fireworks.ai/structured-responses/structured-response-formatting",
            "https://docs.fireworks.ai/guides/prompt-caching",
        ),
        base_url="https://api.fireworks.ai/inference/v1",
        key_env="FIREWORKS_API_KEY",
        domains=("api.fireworks.ai",),
        top_logprobs=5,
        most_logprobs=5,
        prompt_cache="key",
        stream_usage="always",
    ),
    "deepinfra": Profile(
        title="DeepInfra",
        sources=(
            "https://deepinfra.com/docs/advanced/openai_api",
            "https://deepinfra.com/docs/advanced/json_mode",
        ),
        base_url="https://api.deepinfra.com/v1/openai",
        key_env="DEEPINFRA_API_KEY",
        domains=("api.deepinfra.com",),
        structured_output="json_object",
    ),
    "deepseek": Profile(
        title="DeepSeek",
        sources=(
            "https://api-docs.deepseek.com/api/create-chat-completion",
            "https://api-docs.deepseek.com/guides/json_mode",
            "https://api-docs.deepseek.com/guides/kv_cache",
        ),
        base_url="https://api.deepseek.com",
        key_env="DEEPSEEK_API_KEY",
        domains=("api.deepseek.com",),
        structured_output="json_object",
        most_logprobs=20,
        cached_tokens="prompt_cache_hit_tokens",
    ),
    "groq": Profile(
        title="Groq",
        sources=(
            "https://console.groq.com/docs/api-reference",
            "https://console.groq.com/docs/structured-outputs",
        ),
        base_url="https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        domains=("api.groq.com",),
        limit_parameter="max_completion_tokens",
        structured_output="json_object",  # few of its models take schemas
    ),
    "moonshot": Profile(
        title="Moonshot",
        sources=(
            "https://platform.kimi.ai/docs/api/chat",
            "https://platform.kimi.ai/docs/guide/use-json-mode-feature-of-kimi-api",
            "https://platform.kimi.ai/docs/guide/response_format",
        ),
        base_url="https://api.moonshot.ai/v1",
        key_env="MOONSHOT_API_KEY",
        domains=("api.moonshot.ai", "api.moonshot.cn"),
        limit_parameter="max_completion_tokens",
        structured_output="json_object",  # not every model keeps to a schema, it says
        cached_tokens="cached_tokens",
        stream_usage="always",
    ),
    "mistral": Profile(
        title="Mistral",
        sources=(
            "https://docs.mistral.ai/api",
            "https://docs.mistral.ai/inference/conversations/advanced/prompt-caching",
        ),
        base_url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        domains=("api.mistral.ai",),
        prompt_cache="key",
        stream_usage="always",
    ),
    "gemini": Profile(
        title="Gemini's compatible endpoint",
        sources=(
            "https://ai.google.dev/gemini-api/docs/openai",
            "https://ai.google.dev/gemini-api/docs/flex-inference",
        ),
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        domains=("generativelanguage.googleapis.com",),
        flex=True,
    ),
    "litellm": Profile(
        title="a LiteLLM proxy",
        sources=("https://docs.litellm.ai/docs/completion/input",),
        vendor=False,
        most_logprobs=20,  # as the provider behind it does
    ),
    "vllm": Profile(
        title="a server of vLLM's",
        sources=("https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",),
        vendor=False,
        top_logprobs=20,
        most_logprobs=20,
    ),
    "sglang": Profile(
        title="a server of SGLang's",
        sources=("https://docs.sglang.ai/basic_usage/openai_api_completions.html",),
        vendor=False,
        top_logprobs=20,
        most_logprobs=20,
    ),
    "llama.cpp": Profile(
        title="a server of llama.cpp's",
        sources=("https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",),
        vendor=False,
        top_logprobs=20,
        most_logprobs=20,
    ),
    "ollama": Profile(
        title="Ollama",
        sources=("https://docs.ollama.com/api/openai-compatibility",),
        vendor=False,
        top_logprobs=20,
        most_logprobs=20,
        cached_tokens=None,
    ),
}
"""By the name that a policy says; servers of one's own have no boundary, address or key here."""

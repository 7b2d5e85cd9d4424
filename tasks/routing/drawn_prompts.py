"""The draw of items that are asked under another prompt than their task type's own."""

import hashlib

from tierqueue.ledger.records import Item
from tierqueue.router.policy.defaults import PromptRule
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.submission.prompt import under


def drawn(item: Item, policy: Policy) -> Item:
    """The item, asked under the policy's other prompt where it is among that one's share.

    Only one that nobody was asked for yet: from then on it keeps its prompt, whatever the policy
    says. Items of evaluations are asked as those say.
    """
    usual = policy.tasks.get(item.task)
    rule = None if usual is None else usual.prompt
    begun = item.fence or item.calls or item.refused_by or item.policy is not None
    if rule is None or begun or item.prompt is not None or item.fresh or item.pinned is not None:
        return item
    if not falls(rule, item.id):
        return item
    return item._replace(**under(rule.system, item.prompt_bytes))


def falls(rule: PromptRule, item_id: str) -> bool:
    """Whether an item is among the share that is asked under another prompt, by its id."""
    text = f"prompt:{rule.version}:{item_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) < rule.share * 2**64

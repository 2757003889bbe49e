"""What a language model is given to read: a conversation in the model's own format, or plain text."""

from typing import TYPE_CHECKING, Any

from space.models.store import Loaded

if TYPE_CHECKING:
    import torch

Message = dict[str, str]


def follows_instructions(loaded: Loaded) -> bool:
    """Whether the model was trained on conversations; others only continue a text."""
    return bool(loaded.tokenizer.chat_template)


def chat_prompt(loaded: Loaded, messages: list[Message], *, begun: str = "") -> "torch.Tensor":
    """Token ids, shape (1, tokens), of a conversation that the model is to answer.

    Args:
        messages: with `role` and `content`.
        begun: the beginning of the answer, if there is one already.
    """
    tokenizer = loaded.tokenizer
    safe = [{"role": message["role"], "content": _harmless(tokenizer, message["content"])} for message in messages]
    prompt = tokenizer.apply_chat_template(safe, add_generation_prompt=True, tokenize=False)
    return _ids(tokenizer, prompt + _harmless(tokenizer, begun), add_special_tokens=False)


def plain_prompt(loaded: Loaded, text: str) -> "torch.Tensor":
    """Token ids, shape (1, tokens), of a text to continue, or of the source of a sequence-to-sequence model."""
    return _ids(loaded.tokenizer, _harmless(loaded.tokenizer, text), add_special_tokens=True)


def _ids(tokenizer: Any, text: str, *, add_special_tokens: bool) -> "torch.Tensor":
    return tokenizer(text, return_tensors="pt", add_special_tokens=add_special_tokens).input_ids


def _harmless(tokenizer: Any, text: str) -> str:
    """Takes apart what would read as a control token, such as the end of a turn, so that text stays text."""
    for added in tokenizer.added_tokens_decoder.values():
        if added.special and len(added.content) > 1:
            text = text.replace(added.content, f"{added.content[0]} {added.content[1:]}")
    return text

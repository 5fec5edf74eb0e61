"""The model's own tokens: sub-words of letters, and one token for each placeholder, tag and word that agrees.

A sequence is `<begin>`, the items of a brief, `<write>`, the answer, `<end>`. A tag that the tokenizer does not know is
left out of the brief, so that a condition added later does not stop the model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from fhirsynth.errors import InputError
from fhirsynth.letters.lm.brief import BY_BOOK, BY_HAND, MOST, NAME
from fhirsynth.letters.phrases import GRAMMAR, SINGLE, SLOTS

FILE, CARD = "tokenizer.json", "fhirsynth.json"
PAD, BEGIN, WRITE, END, BREAK = "<pad>", "<begin>", "<write>", "<end>", "<paragraph>"
#: A tag is a token of its own when it stands in so many briefs.
_OFTEN = 12
_ITEM = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|<[^<>]*>")
_BEFORE_BREAK = re.compile(r"\s*\n\n\s*")
#: No gap before these when tokens are joined: the space is part of the word that follows.
_SPLIT = r" ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+|\s+"


class Codec(Protocol):
    """Briefs and answers as a model's tokens."""

    pad: int
    end: int

    def prompt(self, brief: str) -> list[int]: ...
    def answer(self, text: str) -> list[int]: ...
    def text(self, numbers: Sequence[int]) -> str: ...


class Tokens:
    """Briefs and answers as numbers. `vocabulary[i]` is what token i stands for; `end` and `pad` are numbers."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, int] = tokenizer.get_vocab()
        self.pad, self.begin, self.write, self.end, self.paragraph = (
            self._known[name] for name in (PAD, BEGIN, WRITE, END, BREAK)
        )
        by_number = {number: name for name, number in self._known.items()}
        #: The text of each token, with its space.
        self.vocabulary = tuple(
            self.text([number], raw=True) if _plain(by_number.get(number, "")) else by_number.get(number, "")
            for number in range(max(by_number) + 1)
        )

    @classmethod
    def load(cls, folder: Path) -> Tokens:
        """The tokens of a model's folder. Raises InputError where they are missing or damaged."""
        from tokenizers import Tokenizer

        try:
            return cls(Tokenizer.from_str((folder / FILE).read_text(encoding="utf-8")))
        except OSError:
            raise InputError(f"{folder} holds no {FILE}: expected a model made by `fhirsynth letters train`") from None
        except Exception as error:
            raise InputError(f"{folder / FILE} is no tokenizer of fhirsynth: {error}") from None

    def __len__(self) -> int:
        return len(self.vocabulary)

    def number(self, item: str) -> int | None:
        """The token of a placeholder, a tag or a word that agrees; None where there is none."""
        return self._known.get(item)

    def prompt(self, brief: str) -> list[int]:
        """A brief's line as numbers, ready for the answer."""
        items = (self._known.get(item) for item in brief.split(" "))
        return [self.begin, *(number for number in items if number is not None), self.write]

    def answer(self, text: str) -> list[int]:
        """An answer as numbers, with its end."""
        return [*self._tokenizer.encode(_BEFORE_BREAK.sub(BREAK, text), add_special_tokens=False).ids, self.end]

    def text(self, numbers: Sequence[int], *, raw: bool = False) -> str:
        """The answer that numbers stand for."""
        text = str(self._tokenizer.decode(list(numbers), skip_special_tokens=False))
        return text if raw else text.replace(END, "").replace(BREAK, "\n\n").strip()

    def save(self, folder: Path) -> None:
        """Write the tokens into a model's folder."""
        (folder / FILE).write_text(self._tokenizer.to_str(pretty=False), encoding="utf-8")


def learn(briefs: Iterable[str], texts: Iterable[str], size: int = 4096) -> Tokens:
    """Tokens of their own for these: `size` sub-words at most, and the placeholders and tags."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=3,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((piece for text in texts for piece in _plain_pieces(text)), trainer)
    tokenizer.add_special_tokens([AddedToken(item, special=True, normalized=False) for item in own_items(briefs)])
    return Tokens(tokenizer)


def narrowed(description: str, briefs: Iterable[str], texts: Iterable[str]) -> tuple[Tokens, list[int | str]]:
    """The tokens of a byte-level BPE tokenizer that these texts need, and our own placeholders and tags besides.

    `description` is the tokenizer's JSON. The second list says of each token which one of the tokenizer's it was, or
    what it stands for where it is ours. Text is cut as the whole tokenizer cuts it, as far as its words are known here.
    Raises InputError for a tokenizer of another kind.
    """
    from tokenizers import AddedToken, Tokenizer

    found = json.loads(description)
    if found["model"]["type"] != "BPE" or "ByteLevel" not in json.dumps(found["pre_tokenizer"]):
        raise InputError("the tokenizer of the base model is no byte-level BPE: another base model is needed")
    whole = Tokenizer.from_str(description)
    numbers: dict[str, int] = found["model"]["vocab"]
    special = {token["content"] for token in found["added_tokens"]}
    made = {left + right: (left, right) for left, right in map(_pair, found["model"]["merges"])}
    needed = {name for name in numbers if len(name) == 1 and name not in special}
    seen: set[str] = set()
    for text in texts:
        seen.update(piece for piece in _plain_pieces(text))
    waiting = {token for piece in seen for token in whole.encode(piece, add_special_tokens=False).tokens}
    while waiting:  # what a token was made of is needed to make it
        token = waiting.pop()
        if token not in needed:
            needed.add(token)
            waiting.update(made.get(token, ()))
    kept = sorted(needed, key=lambda name: numbers[name])
    found["model"]["vocab"] = {name: number for number, name in enumerate(kept)}
    found["model"]["merges"] = [
        [left, right] for left, right in map(_pair, found["model"]["merges"]) if {left, right, left + right} <= needed
    ]
    found["added_tokens"], found["post_processor"] = [], None
    tokenizer = Tokenizer.from_str(json.dumps(found))
    items = own_items(briefs)
    tokenizer.add_special_tokens([AddedToken(item, special=True, normalized=False) for item in items])
    return Tokens(tokenizer), [*(numbers[name] for name in kept), *items]


def own_items(briefs: Iterable[str]) -> list[str]:
    """What is a token of its own: placeholders, words that agree, and the tags that are in many briefs."""
    tags: Counter[str] = Counter()
    for brief in briefs:
        tags.update(item for item in brief.split(" ") if item.startswith("<"))
    items = [PAD, BEGIN, WRITE, END, BREAK, BY_HAND, BY_BOOK]
    items += sorted(tag for tag, count in tags.items() if count >= _OFTEN)
    items += [*(f"[{word}]" for word in sorted(GRAMMAR)), *placeholders()]
    return list(dict.fromkeys(items))


def placeholders() -> list[str]:
    """Every placeholder that a brief can hold."""
    found = [NAME]
    for kind in sorted(SLOTS):
        for slot in sorted(SLOTS[kind]):
            rest = f".{slot}" if slot else ""
            if kind in SINGLE:
                found.append(f"{{{kind}{rest}}}")
            else:
                found.extend(f"{{{kind}{number}{rest}}}" for number in range(1, MOST + 1))
                found.append(f"{{{kind}{rest}*}}")
    return list(dict.fromkeys(found))


def card(folder: Path) -> dict[str, Any]:
    """What a model's folder says of itself; {} where it says nothing."""
    try:
        found = json.loads((folder / CARD).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _pair(merge: Any) -> tuple[str, str]:
    """A merge as its two halves: older files have them in one string."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _plain_pieces(text: str) -> Iterator[str]:
    """The words of a text between placeholders."""
    return (piece for piece in _ITEM.split(text.replace("\n\n", " ")) if piece.strip())


def _plain(name: str) -> bool:
    return not _ITEM.fullmatch(name)

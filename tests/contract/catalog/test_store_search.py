"""Full-text search: what is found, how it is scored, in which order it comes, on every store."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from services.catalog.conditions import EVERYTHING, Condition, Not, Term, Within
from services.catalog.model import ImageChange, SearchPlace, SearchWords
from services.catalog.states import ImageState
from services.catalog.store import SEARCH_WINDOW, CatalogStore
from services.catalog.words import words_of
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.adapters import new_image
from tests.contract.catalog.pictures import Picture, caption, insights, store_picture

MAX_PAGES = 1_000
NAMES, TAGS, CAPTION, OBJECTS, TEXT = 5, 4, 3, 2, 1


async def keep(
    store: CatalogStore,
    content: str,
    *,
    name: str = "",
    tags: tuple[str, ...] = (),
    text: str = "",
    objects: tuple[str, ...] = (),
    read: str = "",
) -> int:
    picture = Picture(
        replace(new_image(content), display_name=name),
        insights(text=read),
        caption(text, tags, objects),
        ImageState.PROCESSED,
    )
    return await store_picture(store, content, picture)


async def found(
    store: CatalogStore, words: SearchWords, condition: Condition = EVERYTHING, size: int = 50
) -> list[tuple[int, int]]:
    """Numbers and scores of all hits, page by page."""
    hits: list[tuple[int, int]] = []
    after: SearchPlace | None = None
    for _ in range(MAX_PAGES):
        page = await store.search_images(words, condition, size, after)
        assert len(page.hits) <= size
        hits += [(hit.image.number, hit.score) for hit in page.hits]
        after = page.next
        if after is None:
            return hits
    raise AssertionError("the pages do not end")


def one(word: str) -> SearchWords:
    return SearchWords((word,))


async def test_a_word_is_worth_what_the_best_part_it_is_in_is_worth(store: CatalogStore) -> None:
    await keep(store, "a", read="the sea")
    await keep(store, "b", objects=("sea",))
    await keep(store, "c", text="Blue sea.", read="sea")
    await keep(store, "d", tags=("Sea",), objects=("sea",))
    await keep(store, "e", name="sea-1.jpg")
    await keep(store, "f", name="seaside.jpg", text="overseas")
    assert await found(store, one("sea")) == [(5, NAMES), (4, TAGS), (3, CAPTION), (2, OBJECTS), (1, TEXT)]


async def test_all_clauses_must_match_and_their_weights_add_up(store: CatalogStore) -> None:
    await keep(store, "a", tags=("sea",), text="A red boat.")
    await keep(store, "b", tags=("sea", "boat"))
    await keep(store, "c", tags=("sea",))
    await keep(store, "d", name="boat.jpg", read="sea")
    words = SearchWords(("sea", "boat"))
    assert await found(store, words) == [(2, TAGS + TAGS), (1, TAGS + CAPTION), (4, NAMES + TEXT)]
    assert await found(store, SearchWords(("sea",), ("bo",), (("red", "boat"),))) == [
        (1, TAGS + CAPTION + CAPTION)
    ]


async def test_a_prefix_is_the_beginning_of_a_word(store: CatalogStore) -> None:
    await keep(store, "a", tags=("harbour",))
    await keep(store, "b", text="Hares and harps", tags=("charm",))
    await keep(store, "c", name="har.jpg")
    assert await found(store, SearchWords((), ("har",))) == [(3, NAMES), (1, TAGS), (2, CAPTION)]
    assert await found(store, SearchWords((), ("harb",))) == [(1, TAGS)]
    assert await found(store, SearchWords((), ("harbours",))) == []


async def test_a_prefix_may_begin_any_number_of_words(store: CatalogStore) -> None:
    for index in range(3):
        text = " ".join(f"pre{index}x{word}" for word in range(150))
        await keep(store, f"{index}", text=text)
    assert await found(store, SearchWords((), ("pre",))) == [(3, CAPTION), (2, CAPTION), (1, CAPTION)]
    assert await found(store, SearchWords((), ("pre1",))) == [(2, CAPTION)]
    assert await found(store, SearchWords((), ("pre1x149",))) == [(2, CAPTION)]


async def test_a_phrase_is_words_that_follow_each_other_in_one_part(store: CatalogStore) -> None:
    await keep(store, "a", text="The red sea is red.")
    await keep(store, "b", text="sea, red")
    await keep(store, "c", tags=("red", "sea"))
    await keep(store, "d", tags=("red",), text="sea")
    await keep(store, "e", text="red seas")
    await keep(store, "f", name="dark-red sea.jpg", read="red blue sea")
    assert await found(store, SearchWords((), (), (("red", "sea"),))) == [(6, NAMES), (3, TAGS), (1, CAPTION)]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("\u00c4pfel am Stra\u00dfenrand", "apfel strasse*"),
        ("\u6d77\u8fb9\u7684\u8239", "\u8239"),
        ("na\u00efve caf\u00e9 №5", "naive cafe"),
        ("\u041c\u043e\u0441\u043a\u0432\u0430", "\u043c\u043e\u0441\u043a\u0432\u0430"),
        ("AND OR NOT NEAR", "and or not near"),
        ('names: "quoted" ^ x* (y) -z a\'b', "names quoted a b z"),
        ("x" * 100, "x" * 64),
    ],
)
async def test_words_of_any_script_are_found(store: CatalogStore, text: str, query: str) -> None:
    await keep(store, "a", text=text)
    await keep(store, "b", text="something else")
    tokens = query.split()
    prefixes = tuple(words_of(token)[0] for token in tokens if token.endswith("*"))
    words = tuple(word for token in tokens if not token.endswith("*") for word in words_of(token))
    assert [number for number, _ in await found(store, SearchWords(words, prefixes))] == [1]


async def test_equals_come_newest_first_page_by_page(store: CatalogStore) -> None:
    for index in range(10):
        await keep(
            store,
            f"{index}",
            tags=("sea",),
            text="" if index % 3 else "boat",
            name="boat" if index == 4 else "",
        )
    expected = [5, 10, 7, 4, 1]
    for size in (1, 2, 3, 50):
        hits = await found(store, SearchWords(("sea", "boat")), size=size)
        assert [number for number, _ in hits] == expected


async def test_hits_meet_the_condition(store: CatalogStore) -> None:
    for index in range(8):
        await keep(store, f"{index}", tags=("sea", f"n{index % 2}"), name="x" * index)
    odd = Term("tag", "n1")
    assert [n for n, _ in await found(store, one("sea"), odd, size=3)] == [8, 6, 4, 2]
    assert [n for n, _ in await found(store, one("sea"), Not(odd))] == [7, 5, 3, 1]
    assert await found(store, one("sea"), Within("width", 9_999)) == []


async def test_search_follows_what_happens_to_images(store: CatalogStore) -> None:
    for index in range(4):
        await keep(store, f"{index}", text="sea")
    await store.hide_image(1)
    await store.delete_image(2)
    said = catalog_pb2.Corrections(caption="A field", title="Lake")
    await store.change_image(3, ImageChange(None, said.SerializeToString()), None)
    assert await found(store, one("sea")) == [(4, CAPTION)]
    assert await found(store, one("field")) == [(3, CAPTION)]
    assert await found(store, one("lake")) == [(3, NAMES)]
    await store.restore_image(1)
    assert await found(store, one("sea")) == [(4, CAPTION), (1, CAPTION)]


async def test_images_that_come_later_do_not_move_the_pages(store: CatalogStore) -> None:
    for index in range(6):
        await keep(store, f"{index}", tags=("sea",))
    first = await store.search_images(one("sea"), EVERYTHING, 3, None)
    for index in range(6, 9):
        await keep(store, f"{index}", name="sea")
    second = await store.search_images(one("sea"), EVERYTHING, 3, first.next)
    assert [hit.image.number for page in (first, second) for hit in page.hits] == [6, 5, 4, 3, 2, 1]
    assert second.next is None


async def test_what_no_document_has_is_not_found(store: CatalogStore) -> None:
    assert await found(store, one("sea")) == []
    await keep(store, "a", text="sea")
    assert await found(store, SearchWords(("sea", "sky"))) == []
    assert await found(store, SearchWords((), (), (("sea", "sky"),))) == []


async def test_random_documents_are_found_and_scored_as_plain_python_does(store: CatalogStore) -> None:
    rng = random.Random(9)  # noqa: S311  the same documents every time
    vocabulary = ("sea", "seal", "red", "reed", "boat", "\u6d77")
    parts: dict[int, list[str]] = {}
    for index in range(40):
        given = [" ".join(rng.choices(vocabulary, k=rng.randrange(4))) for _ in range(5)]
        name, tags, text, objects, read = given
        number = await keep(
            store,
            f"{index}",
            name=name,
            tags=(tags,) if tags else (),
            text=text,
            objects=(objects,),
            read=read,
        )
        parts[number] = [f" {' '.join(words_of(part))} " for part in given]
    for _ in range(60):
        words = SearchWords(
            tuple(rng.sample(vocabulary, rng.randrange(3))),
            tuple(rng.sample(("se", "re", "sea", "bo"), rng.randrange(2))),
            tuple(tuple(rng.sample(vocabulary, 2)) for _ in range(rng.randrange(2))),
        )
        pieces = [f" {word} " for word in words.words] + [f" {prefix}" for prefix in words.prefixes]
        pieces += [f" {' '.join(phrase)} " for phrase in words.phrases]
        if not pieces:
            continue
        expected = [(number, _score(document, pieces)) for number, document in parts.items()]
        expected = sorted((hit for hit in expected if hit[1]), key=lambda hit: (-hit[1], -hit[0]))
        assert await found(store, words, size=7) == expected, words


def _score(document: list[str], pieces: list[str]) -> int:
    """0 when a piece is in no part."""
    weights = [
        max(
            (weight for part, weight in zip(document, (5, 4, 3, 2, 1), strict=True) if piece in part),
            default=0,
        )
        for piece in pieces
    ]
    return sum(weights) if all(weights) else 0


async def test_matches_beyond_a_window_follow_in_the_next(store: CatalogStore) -> None:
    count = SEARCH_WINDOW + 3
    for index in range(count):
        name = "sea boat.jpg" if index == 10 else "sea.jpg"
        await store.create_image(replace(new_image(f"{index}", ImageState.STORED), display_name=name), "")
    hits = [number for number, _ in await found(store, one("sea"), size=400)]
    assert hits == list(range(count, 0, -1))
    assert [number for number, _ in await found(store, SearchWords(("sea", "boat")))] == [11]

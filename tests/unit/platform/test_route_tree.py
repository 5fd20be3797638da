"""The route tree finds what a patient search over all templates would find."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.platform.http.tree import RouteConflict, RouteTree

_WORDS = ["a", "b", "c", "{x}"]
_templates = st.lists(
    st.tuples(st.sampled_from(["GET", "PUT"]), st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4)),
    max_size=12,
)


def tree_of(*routes: str) -> RouteTree[str]:
    tree: RouteTree[str] = RouteTree()
    for route in routes:
        method, template = route.split(" ")
        tree.add(method, template, route)
    return tree


def find(tree: RouteTree[str], method: str, path: str) -> tuple[str, dict[str, str]] | None:
    found = tree.find(method, path.split("/"))
    return None if found is None else (found[0].target, found[1])


def test_static_goes_before_parameter_and_parameter_before_rest() -> None:
    tree = tree_of("GET /r/{a}/x", "GET /r/me/x", "GET /r/{rest:path}")
    assert find(tree, "GET", "/r/me/x") == ("GET /r/me/x", {})
    assert find(tree, "GET", "/r/you/x") == ("GET /r/{a}/x", {"a": "you"})
    assert find(tree, "GET", "/r/you/y/z") == ("GET /r/{rest:path}", {"rest": "you/y/z"})
    assert find(tree, "GET", "/r") is None


def test_a_wrong_turn_is_taken_back() -> None:
    tree = tree_of("GET /a/b/c", "GET /{x}/b/d", "PUT /a/{y}/c")
    assert find(tree, "GET", "/a/b/d") == ("GET /{x}/b/d", {"x": "a"})
    assert find(tree, "PUT", "/a/b/c") == ("PUT /a/{y}/c", {"y": "b"})


def test_parameters_may_have_other_names_for_other_methods() -> None:
    tree = tree_of("GET /u/{userId}", "PUT /u/{name}")
    assert find(tree, "PUT", "/u/1") == ("PUT /u/{name}", {"name": "1"})


def test_a_parameter_may_be_empty() -> None:
    # The empty state key: /state/m.room.name/
    tree = tree_of("GET /state/{type}/{key}", "GET /state/{type}")
    assert find(tree, "GET", "/state/m.room.name/") == (
        "GET /state/{type}/{key}",
        {"type": "m.room.name", "key": ""},
    )
    assert find(tree, "GET", "/state/m.room.name") == ("GET /state/{type}", {"type": "m.room.name"})


def test_methods_of_a_path() -> None:
    tree = tree_of("GET /a/{x}", "PUT /a/b", "POST /a/{rest:path}")
    assert tree.methods(["", "a", "b"]) == {"GET", "PUT", "POST"}
    assert tree.methods(["", "b"]) == set()


@pytest.mark.parametrize("template", ["/a/{x}y", "/a/{x:path}/b", "/a/{1}"])
def test_templates_that_cannot_be(template: str) -> None:
    with pytest.raises(ValueError, match="parameter"):
        tree_of(f"GET {template}")


def test_two_routes_cannot_be_the_same() -> None:
    with pytest.raises(RouteConflict, match="same route"):
        tree_of("GET /a/{x}", "GET /a/{y}")


@given(_templates, st.sampled_from(["GET", "PUT"]), st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
def test_as_a_search_over_all_templates(
    routes: list[tuple[str, list[str]]], method: str, path: list[str]
) -> None:
    tree: RouteTree[str] = RouteTree()
    known = {}
    for verb, words in routes:
        template = "/" + "/".join(f"{{x{n}}}" if word == "{x}" else word for n, word in enumerate(words))
        if (verb, template) not in known:
            known[verb, template] = words
            tree.add(verb, template, template)

    def matches(words: list[str]) -> bool:
        return len(words) == len(path) and all(
            word in ("{x}", part) for word, part in zip(words, path, strict=True)
        )

    fitting = [
        # At the first segment where they differ, static wins.
        ([word == "{x}" for word in words], template)
        for (verb, template), words in known.items()
        if verb == method and matches(words)
    ]
    found = tree.find(method, ["", *path])
    literal = tree.literal(method, "/".join(["", *path]).encode())
    if not fitting:
        assert found is None and literal is None
    else:
        assert found is not None
        leaf, params = found
        assert leaf.template == min(fitting)[1]
        assert re.sub(r"\{(\w+)\}", lambda name: params[name[1]], leaf.template) == "/" + "/".join(path)
        assert literal is (None if params else leaf)


def test_a_literal_path_is_compared_before_it_is_decoded() -> None:
    tree = tree_of("GET /a%20b")
    assert tree.literal("GET", b"/a%20b") is None
    assert find(tree, "GET", "/a%20b") == ("GET /a%20b", {})
